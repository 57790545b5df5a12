"""Timing and power analysis with OpenSTA."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hw.errors import UserError

from .activity import Activity
from .liberty import Library
from .netlist import Netlist

__all__ = ["MISSING", "Power", "Timing", "analyse"]

MISSING = "no timing and power: OpenSTA is missing (install it with: apt-get install opensta)"
"""What is said without OpenSTA."""

_KINDS = {
    "register to register": "-from [all_registers -clock_pins] -to [all_registers -data_pins]",
    "input to register": "-from $inputs -to [all_registers -data_pins]",
    "register to output": "-from [all_registers -clock_pins] -to [all_outputs]",
    "input to output": "-from $inputs -to [all_outputs]",
}


_SET_RATES = """\
foreach cell [get_cells -hierarchical *] {{
  if {{![$cell is_leaf]}} continue
  set name [get_property $cell full_name]
  set toggles $rate([string range $name 0 [string last / $name]-1])
  set pins [$cell pin_iterator]
  while {{[$pins has_next]}} {{
    set pin [$pins next]
    set port [lindex [split [get_property $pin full_name] /] end]
    if {{[lsearch {{clk {clocks}}} $port] < 0}} {{
      sta::set_power_pin_activity $pin $toggles 0.5
    }}
  }}
  $pins finish
}}
"""

_SUM_POWER = """\
set corner [sta::cmd_corner]
foreach cell [get_cells -hierarchical *] {
  if {![$cell is_leaf]} continue
  set name [get_property $cell full_name]
  set parent [string range $name 0 [string last / $name]-1]
  if {![info exists total($parent)]} {set total($parent) {0 0 0}}
  lassign $total($parent) internal switching leakage
  foreach value [sta::instance_power $cell $corner] sum {internal switching leakage} {
    # A cell that never toggles may have an internal power that is no number.
    if {$sum ne "" && ![string match -nocase *nan* $value]} {
      set $sum [expr {[set $sum] + $value}]
    }
  }
  set total($parent) [list $internal $switching $leakage]
}
foreach {parent sums} [array get total] {puts "@$parent=$sums"}
"""


class Power(NamedTuple):
    """Power in mW."""

    internal: float
    switching: float
    leakage: float

    @property
    def total(self) -> float:
        return sum(self)

    def plus(self, other: "Power") -> "Power":
        """The sum of both."""
        return Power(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Timing:
    """What OpenSTA says.

    Parameters
    ----------
    critical_ns : longest of ``paths``, and so the shortest clock period
    paths : longest delay in ns of each kind of path, set-up time included
    period_ns : clock period of the power
    power : of the cells in each instance of a module, by its path
    activity : where the toggle rates come from
    report : the critical path, as text
    """

    critical_ns: float
    paths: dict[str, float]
    period_ns: float
    power: dict[str, Power]
    activity: str
    report: str = field(repr=False)


def analyse(
    folder: Path,
    netlist: Netlist,
    library: Library,
    period: float | None,
    activity: Activity | float,
) -> Timing | None:
    """Critical path and power of ``netlist.v`` with ``cells.lib`` and ``macros.lib`` in ``folder``.

    Power is that of a clock of ``period`` ns, or of the shortest period, when all signals toggle
    ``activity`` times per cycle, or those of each instance as an average signal of that instance
    in the simulation. None without OpenSTA.
    """
    tool = shutil.which("sta")
    if tool is None:
        return None
    text = _run(tool, folder, _load(netlist, 1000.0) + _report_paths())
    paths = {
        name: 1000.0 - float(slack) for name, slack in re.findall(r"^@(.*)=(\S+)$", text, re.M)
    }
    if not paths:
        raise UserError(f"OpenSTA finds no path in {netlist.top!r}")
    critical = max(paths.values())
    cycle = critical if period is None else period
    text = _run(tool, folder, _load(netlist, cycle) + _power(netlist, library, activity))
    power = {}
    for path, *parts in re.findall(r"^@(.*)=(\S+) (\S+) (\S+)$", text, re.MULTILINE):
        power[path.replace("/", ".")] = Power(*(1000.0 * float(part) for part in parts))
    report = text[text.index("Startpoint") : text.index("@power")]
    source = (
        f"{activity.path.name}, {activity.cycles} cycles"
        if isinstance(activity, Activity)
        else f"assumed: signals toggle {activity} times per cycle"
    )
    return Timing(critical, paths, cycle, power, source, report)


def _run(tool: str, folder: Path, script: str) -> str:
    (folder / "analyse.tcl").write_text(script)
    done = subprocess.run(
        [tool, "-no_splash", "-exit", "analyse.tcl"], cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = re.findall(r"^Error: (.*)", done.stdout + done.stderr, re.MULTILINE)
    if done.returncode or errors:
        what = errors[0] if errors else f"status {done.returncode}"
        raise UserError(f"OpenSTA failed: {what}")
    return done.stdout


def _load(netlist: Netlist, period: float) -> str:
    clock = "[get_ports clk]" if netlist.has_clock else "-name clk"
    return f"""\
read_liberty cells.lib
read_liberty macros.lib
read_verilog netlist.v
link_design {netlist.top}
create_clock -period {period} {clock}
set inputs {{}}
foreach port [all_inputs] {{
  if {{[get_property $port full_name] != "clk"}} {{ lappend inputs $port }}
}}
set_input_delay 0 -clock clk $inputs
set_output_delay 0 -clock clk [all_outputs]
"""


def _report_paths() -> str:
    commands = ["set registers [llength [all_registers -clock_pins]]"]
    for name, ends in _KINDS.items():
        paths = (
            f'foreach path [find_timing_paths {ends}] {{puts "@{name}=[get_property $path slack]"}}'
        )
        commands.append(f"if {{$registers}} {{{paths}}}" if "register" in name else paths)
    return "\n".join(commands) + "\n"


def _power(netlist: Netlist, library: Library, activity: Activity | float) -> str:
    """Commands that set the toggle rates and print the power of each instance's cells."""
    lines = ["report_checks -path_delay max -fields {slew capacitance fanout}", 'puts "@power"']
    if isinstance(activity, Activity):
        lines.append("set_power_activity -input -activity 0")
        for path, rate in _rates(netlist, activity):
            lines.append(f"set rate({path.replace('.', '/')}) {rate:.6g}")
        lines.append(_SET_RATES.format(clocks=" ".join(set(library.flip_flops.values()))))
    else:
        lines.append(f"set_power_activity -global -activity {activity}")
    return "\n".join(lines) + "\n" + _SUM_POWER


def _rates(netlist: Netlist, activity: Activity) -> Iterator[tuple[str, float]]:
    """Toggle rate of each instance; one that is not in the waveforms is like its parent."""
    rates: dict[str, float] = {}
    for path, _ in netlist.instances():
        rate = activity.rate(path)
        if rate is None:
            rate = rates[path.rpartition(".")[0]] if path else 0.0
        rates[path] = rate
        yield path, rate
