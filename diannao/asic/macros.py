"""Memories of a design: the large ones become macros, the small ones flip-flops."""

import re
from dataclasses import dataclass

__all__ = ["MACRO_BITS", "Macro", "find_macros", "to_liberty"]

MACRO_BITS = 1024
"""Memories of at least so many bits are macros."""

_MODULE = re.compile(r"^module (\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL)
_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) \S+$", re.MULTILINE)


@dataclass(frozen=True)
class Macro:
    """A memory macro: ``rows`` of ``width`` bits, with ports."""

    module: str
    """Module that the memory replaces."""
    width: int
    rows: int
    reads: int
    writes: int

    @property
    def bits(self) -> int:
        return self.width * self.rows


def find_macros(rtlil: str) -> dict[str, Macro]:
    """The memories in ``rtlil`` that become macros, by the module that contains each."""
    macros = {}
    for name, text in _MODULE.findall(rtlil):
        memories = _MEMORY.findall(text)
        if memories:
            ((width, rows),) = memories  # Amaranth's memories and queues have one per module
            module = name.removeprefix("\\")
            reads, writes = text.count("cell $memrd_v2"), text.count("cell $memwr_v2")
            macro = Macro(f"{module}_macro", int(width), int(rows), reads, writes)
            if macro.bits >= MACRO_BITS:
                macros[module] = macro
    return macros


def to_liberty(macros: dict[str, dict], delay: float, load: float) -> str:
    """Liberty text for timing analysis: ``macros`` by name, each with its ports as Yosys has them.

    A macro takes its inputs at the rising edge of ``clk`` without set-up time, and shows its
    outputs ``delay`` ns later, whatever they drive. Input pins load ``load`` fF.
    """
    widths = sorted({len(p["bits"]) for ports in macros.values() for p in ports.values()} - {1})
    lines = [
        "library (macros) {",
        '  time_unit : "1ns"; capacitive_load_unit (1, ff); voltage_unit : "1V";',
        '  current_unit : "1mA"; pulling_resistance_unit : "1kohm"; leakage_power_unit : "1nW";',
        "  delay_model : table_lookup; slew_lower_threshold_pct_rise : 20;",
        "  slew_lower_threshold_pct_fall : 20; slew_upper_threshold_pct_rise : 80;",
        "  slew_upper_threshold_pct_fall : 80; input_threshold_pct_rise : 50;",
        "  input_threshold_pct_fall : 50; output_threshold_pct_rise : 50;",
        "  output_threshold_pct_fall : 50; nom_voltage : 1; nom_process : 1; nom_temperature : 25;",
    ]
    for width in widths:
        lines.append(
            f"  type (bus{width}) {{ base_type : array; data_type : bit; bit_width : {width};"
            f" bit_from : {width - 1}; bit_to : 0; }}"
        )
    for name, ports in macros.items():
        lines.append(f'  cell ("{name}") {{ area : 0;')
        for port, content in ports.items():
            width = len(content["bits"])
            kind = (
                f'bus ("{port}") {{ bus_type : bus{width};' if width > 1 else f'pin ("{port}") {{'
            )
            if content["direction"] == "output":
                timing = (
                    f'cell_rise (scalar) {{ values ("{delay}"); }}'
                    f' cell_fall (scalar) {{ values ("{delay}"); }}'
                    ' rise_transition (scalar) { values ("0.1"); }'
                    ' fall_transition (scalar) { values ("0.1"); }'
                )
                how = f'related_pin : "clk"; timing_type : rising_edge; {timing}'
                lines.append(f"    {kind} direction : output; timing () {{ {how} }} }}")
            elif port == "clk":
                lines.append(
                    f"    {kind} direction : input; clock : true; capacitance : {load}; }}"
                )
            else:
                constraints = " ".join(
                    f'{edge}_constraint (scalar) {{ values ("0"); }}' for edge in ("rise", "fall")
                )
                how = f'related_pin : "clk"; timing_type : setup_rising; {constraints}'
                lines.append(
                    f"    {kind} direction : input; capacitance : {load}; timing () {{ {how} }} }}"
                )
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"
