"""Cells: components of which a design has hundreds, elaborated and written once."""

import gc
import re
from functools import wraps

from amaranth.back import rtlil  # pyright: ignore[reportAttributeAccessIssue]  (no stub)
from amaranth.hdl import ClockSignal, Instance, ResetSignal
from amaranth.lib import wiring

__all__ = ["CellLibrary", "cell"]


class CellLibrary:
    """Platform for ``to_rtlil``: turns components whose ``elaborate`` is a ``cell`` into instances.

    Each different cell is elaborated once. A core of 16x16 truncated multipliers takes half a
    minute without.
    """

    def __init__(self):
        self._modules: dict[str, str] = {}
        self._top: wiring.Component | None = None

    @property
    def cells(self) -> set[str]:
        """Names of the cells used so far."""
        return set(self._modules)

    def holds(self, component: wiring.Component) -> bool:
        """Whether ``component`` is a part of the design, and not the design itself."""
        return component is not self._top

    def place(self, component: wiring.Component, name: str) -> Instance:
        """An instance of cell ``name`` on ``component``'s ports; defines the cell if it is new."""
        if name not in self._modules:
            outer, self._top = self._top, component  # cells may have cells inside
            text = rtlil.convert(component, name=name, platform=self, emit_src=False)
            self._modules[name], self._top = text, outer
        inputs = set(re.findall(r"^  wire.* input .*\\(\w+)$", self._modules[name], re.MULTILINE))
        ports = {}
        for path, member, value in component.signature.flatten(component):
            port = "__".join(map(str, path))
            ports[f"{'i' if member.flow is wiring.In else 'o'}_{port}"] = value
        if "clk" in inputs:
            ports["i_clk"] = ClockSignal()
        if "rst" in inputs:
            ports["i_rst"] = ResetSignal()
        return Instance(name, **ports)

    def to_rtlil(self, component: wiring.Component, name: str) -> str:
        """RTLIL text of ``component`` as module ``name``, with the cells it uses."""
        self._top = component
        # Amaranth keeps millions of objects until the end: looking for garbage among them takes a
        # quarter of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            top = rtlil.convert(component, name=name, platform=self, emit_src=False)
        finally:
            if collecting:
                gc.enable()
        return "".join((*self._modules.values(), top))


def cell(elaborate):
    """Decorator for ``elaborate`` of a component that has a ``cell_name``.

    ``cell_name`` says which components are equal, so it contains all parameters. Ports are plain
    signals. On any platform but a CellLibrary nothing changes.
    """

    @wraps(elaborate)
    def instance_or_content(self, platform):
        if isinstance(platform, CellLibrary) and platform.holds(self):
            return platform.place(self, self.cell_name)
        return elaborate(self, platform)

    return instance_or_content
