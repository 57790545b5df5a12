"""The logic of a board on the pins of its amaranth-boards platform."""

from typing import Any

from amaranth.build.res import ResourceError
from amaranth.hdl import Elaboratable, Module
from amaranth.lib.wiring import connect

from hw.errors import UserError

from .catalog import Board
from .clocks import EarlyClock, check_clock, make_clock
from .sdram_pads import EARLY, SdramPads

__all__ = ["PlatformTop", "check_platform", "device_of", "family_of"]

_FAMILIES = {"iCE40": "ice40", "LFE5U": "ecp5", "GW1N": "gowin"}


def device_of(platform: Any) -> str:
    """What the platform calls its device."""
    return getattr(platform, "device", None) or getattr(platform, "part", "")


def family_of(platform: Any) -> str:
    """The device family: ice40, ecp5 or gowin.

    Raises
    ------
    UserError
        If there are no open tools for it here.
    """
    device = device_of(platform)
    for beginning, family in _FAMILIES.items():
        if device.startswith(beginning):
            return family
    raise UserError(
        f"devices must begin with one of {', '.join(_FAMILIES)} for the open tools, not {device!r}"
    )


def check_platform(board: Board, platform: Any) -> None:
    """Raise UserError if ``board`` cannot be built for ``platform``."""
    check_clock(platform, family_of(platform), board.clock)
    if ("uart", 0) not in platform.resources:
        raise UserError(f"{type(platform).__name__} has no uart, which the host link needs")


class PlatformTop(Elaboratable):
    """A board's logic with clock, serial line and, if there is one, an LED that shows work."""

    def __init__(self, board: Board):
        self._board = board

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        board = self._board
        m.submodules.board = top = board.make_top()
        early = None
        if hasattr(top, "pins"):
            early = EarlyClock("chip", EARLY)
            m.submodules.sdram = pads = SdramPads(resource=platform.request("sdram", 0, dir="-"))
            connect(m, top.pins, pads.pins)  # type: ignore
        make_clock(m, platform, family_of(platform), board.clock, early)
        uart = platform.request("uart", 0)
        m.d.comb += [top.rx.eq(uart.rx.i), uart.tx.o.eq(top.tx)]
        try:
            led = platform.request("led", 0)
        except ResourceError:
            return m
        m.d.comb += led.o.eq(top.busy)
        return m
