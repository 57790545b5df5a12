"""The mapped netlist: buffers for nets of high fan-out, cells by instance, and Verilog."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .liberty import Library

__all__ = ["Netlist"]

_Bit = int | str


class Netlist:
    """A hierarchy of modules that consist of a library's cells and of macros.

    Parameters
    ----------
    path : what Yosys' ``write_json`` wrote
    top : the top module
    library : whose cells it has

    Attributes
    ----------
    macros : ports of the modules that have no content, by name
    """

    def __init__(self, path: Path, top: str, library: Library):
        modules = json.loads(path.read_text())["modules"]
        self.top = top
        self._library = library
        self.macros: dict[str, dict[str, Any]] = {}
        self._modules: dict[str, dict[str, Any]] = {}
        for name, module in modules.items():
            if name in library.areas:
                continue
            if "blackbox" in module["attributes"]:
                self.macros[name] = module["ports"]
            else:
                self._modules[name] = module
        for module in self._modules.values():
            _rename_cells(module["cells"], library)
            self._separate_outputs(module)
            self._limit_fanout(module)

    def _buffer(self, source: list[_Bit], target: int) -> dict[str, Any]:
        buffer = self._library.buffer
        return {
            "type": buffer.cell,
            "port_directions": {buffer.input: "input", buffer.output: "output"},
            "connections": {buffer.input: source, buffer.output: [target]},
        }

    def _separate_outputs(self, module: dict[str, Any]) -> None:
        """Give each output of a module a net of its own, behind a buffer where it had none."""
        ports = module["ports"].values()
        taken: set[_Bit] = {"0", "1", "x"}
        taken |= {bit for port in ports if port["direction"] == "input" for bit in port["bits"]}
        following = _first_free(module)
        count = 0
        for port in ports:
            for k, bit in enumerate(port["bits"]):
                if port["direction"] == "output" and bit in taken:
                    port["bits"][k] = following
                    module["cells"][f"copy{count}"] = self._buffer([bit], following)
                    following += 1
                    count += 1
                taken.add(bit)

    def _limit_fanout(self, module: dict[str, Any]) -> None:
        """Put trees of buffers behind what drives more than FANOUT inputs; clocks are ideal."""
        most = self._library.FANOUT
        cells = module["cells"]
        clocks = module["ports"].get("clk", {}).get("bits", ())
        sinks: dict[int, list[tuple[list[_Bit], int]]] = defaultdict(list)
        for cell in cells.values():
            for pin, bits in cell["connections"].items():
                if self._direction(cell, pin) == "input":
                    for k, bit in enumerate(bits):
                        if isinstance(bit, int) and bit not in clocks:
                            sinks[bit].append((bits, k))
        following = _first_free(module)
        count = 0
        for net, places in sinks.items():
            while len(places) > most:
                above = []
                for start in range(0, len(places), most):
                    for bits, k in places[start : start + most]:
                        bits[k] = following
                    source: list[_Bit] = [net]
                    cells[f"fanout{count}"] = self._buffer(source, following)
                    above.append((source, 0))
                    following += 1
                    count += 1
                places = above

    def _direction(self, cell: dict[str, Any], pin: str) -> str:
        if cell["type"] in self._modules:
            return self._modules[cell["type"]]["ports"][pin]["direction"]
        return cell["port_directions"][pin]

    @property
    def has_clock(self) -> bool:
        """Whether the top has a port ``clk``; otherwise it is combinational."""
        return "clk" in self._modules[self.top]["ports"]

    def instances(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each module instance of the hierarchy: its path (dots, the top is empty) and content."""
        waiting = [("", self.top)]
        while waiting:
            path, name = waiting.pop()
            module = self._modules[name]
            yield path, module
            for instance, cell in module["cells"].items():
                if cell["type"] in self._modules:
                    waiting.append((f"{path}.{instance}".lstrip("."), cell["type"]))

    def leaves(self, module: dict[str, Any]) -> Counter[str]:
        """Library cells and macros that a module contains itself, by type."""
        return Counter(
            cell["type"] for cell in module["cells"].values() if cell["type"] not in self._modules
        )

    def to_verilog(self, *, constants: bool = True) -> str:
        """Structural Verilog of all modules, the top last, as simple tools read it.

        Without ``constants``, constant inputs hang on a wire that nothing drives.
        """
        written: dict[str, str] = {}

        def visit(name: str) -> None:
            if name in written or name not in self._modules:
                return
            for cell in self._modules[name]["cells"].values():
                visit(cell["type"])
            written[name] = self._module_text(name, constants)

        visit(self.top)
        return "\n".join(written.values())

    def _module_text(self, name: str, constants: bool) -> str:
        module = self._modules[name]
        ports, cells = module["ports"], module["cells"]
        zero, one = ("1'b0", "1'b1") if constants else ("constant", "constant")
        names: dict[_Bit, str] = {"0": zero, "1": one, "x": zero}
        lines = [f"module {_escape(name)} ({', '.join(map(_escape, ports))});"]
        for direction in ("input", "output"):
            for port, content in ports.items():
                if content["direction"] != direction:
                    continue
                bits = content["bits"]
                size = f"[{len(bits) - 1}:0] " if len(bits) > 1 else ""
                lines.append(f"  {direction} {size}{_escape(port)};")
                for k, bit in enumerate(bits):
                    place = f"{_escape(port)}[{k}]" if len(bits) > 1 else _escape(port)
                    names[bit] = place

        def net(bit: _Bit) -> str:
            return names.setdefault(bit, f"n{bit}")

        body = []
        for instance, cell in cells.items():
            pins = []
            for pin, bits in cell["connections"].items():
                value = ", ".join(net(bit) for bit in reversed(bits))
                pins.append(f".{_escape(pin)}({value if len(bits) == 1 else f'{{{value}}}'})")
            body.append(f"  {_escape(cell['type'])} {_escape(instance)} ({', '.join(pins)});")
        nets = [place for bit, place in names.items() if place == f"n{bit}"]
        nets += [] if constants else ["constant"]
        wires = [f"  wire {', '.join(nets[k : k + 12])};" for k in range(0, len(nets), 12)]
        return "\n".join((*lines, *wires, *body, "endmodule\n"))


def _rename_cells(cells: dict[str, Any], library: Library) -> None:
    """Short names for library cells; those of Yosys tell its passes and source lines."""
    for k, name in enumerate([name for name, cell in cells.items()]):
        if cells[name]["type"] in library.areas:
            cells[f"c{k}"] = cells.pop(name)


def _first_free(module: dict[str, Any]) -> int:
    """A number above those of all nets."""
    cells, ports = module["cells"].values(), module["ports"].values()
    places = [bits for cell in cells for bits in cell["connections"].values()]
    places += [port["bits"] for port in ports]
    return 1 + max((bit for bits in places for bit in bits if isinstance(bit, int)), default=1)


def _escape(name: str) -> str:
    """A Verilog name; words of lower-case letters only are escaped too, they may be keywords."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name) and not re.fullmatch(r"(?!clk|rst)[a-z]{2,}", name)
    return name if plain else f"\\{name} "
