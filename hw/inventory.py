"""What an elaborated design consists of: its memories and operators, by place in the hierarchy."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from amaranth.lib import wiring

from .cells import CellLibrary

__all__ = ["Inventory", "take_inventory"]

_MODULE = re.compile(r"^module \\(\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell (\S+) \\?(\S+)$", re.MULTILINE)
_MULTIPLIER = re.compile(r"multiplier_.*_(\d+)lanes")
_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) \\(\S+)$", re.MULTILINE)


@dataclass
class _Module:
    memories: dict[str, int] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    children: list[tuple[str, str]] = field(default_factory=list)  # instance, module


@dataclass(frozen=True)
class Inventory:
    """Contents of a design.

    Parameters
    ----------
    memories : bits of each memory, by its path (instance names joined by dots)
    operators : how many there are of each kind, by the path of the module that contains them; kinds
        are Yosys' word-level cells without the dollar sign (``add``, ``mul``) and the names of
        cells that are elaborated once (``multiplier_...``)
    """

    memories: dict[str, int]
    operators: dict[str, Counter[str]]

    def memory_bits(self, path: str) -> int:
        """Bits of all memories at ``path`` and below it."""
        return sum(bits for place, bits in self.memories.items() if _below(place, path))

    def count(self, path: str, kind: str) -> int:
        """Operators at ``path`` and below it whose kind begins with ``kind``."""
        return sum(
            number
            for place, operators in self.operators.items()
            if _below(place, path)
            for name, number in operators.items()
            if name.startswith(kind)
        )

    def products(self, path: str) -> int:
        """Products that the multipliers at ``path`` and below it form per cycle."""
        return sum(
            number * int(match[1])
            for place, operators in self.operators.items()
            if _below(place, path)
            for name, number in operators.items()
            if (match := _MULTIPLIER.fullmatch(name))
        )


def _below(place: str, path: str) -> bool:
    return place == path or place.startswith(f"{path}.")


def take_inventory(component: wiring.Component) -> Inventory:
    """Elaborate ``component`` and count. Cells count as operators; their contents do not."""
    library = CellLibrary()
    modules = {}
    for name, text in _MODULE.findall(library.to_rtlil(component, "top")):
        module = modules[name] = _Module()
        for width, size, memory in _MEMORY.findall(text):
            module.memories[memory] = int(width) * int(size)
        for kind, instance in _CELL.findall(text):
            if kind.startswith("$"):
                module.operators[kind[1:]] += 1
            else:
                module.children.append((instance, kind[1:]))
    cells = library.cells
    memories: dict[str, int] = {}
    operators: dict[str, Counter[str]] = {}
    for path, module in _walk(modules, cells, "top", ""):
        for memory, bits in module.memories.items():
            memories[f"{path}.{memory}".lstrip(".")] = bits
        operators[path] = module.operators + Counter(
            kind for _, kind in module.children if kind in cells
        )
    return Inventory(memories, operators)


def _walk(
    modules: dict[str, _Module], cells: set[str], name: str, path: str
) -> Iterator[tuple[str, _Module]]:
    module = modules[name]
    yield path, module
    for instance, kind in module.children:
        if kind in modules and kind not in cells:
            yield from _walk(modules, cells, kind, f"{path}.{instance}".lstrip("."))
