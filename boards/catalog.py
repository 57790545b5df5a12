"""The boards that are known, with the configuration that each one gets."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hw.diannao.config import Config
from hw.errors import UserError

from .memory.onchip import OnChipMemory
from .memory.storage import BlockRam, Spram
from .top import BoardTop

__all__ = ["BOARDS", "Board", "find_board"]


def _spram(config: Config) -> OnChipMemory:
    return OnChipMemory(storage=Spram(), address_width=config.address_width)


def _block_ram(kibibytes: int) -> Callable[[Config], OnChipMemory]:
    def make(config: Config) -> OnChipMemory:
        width = config.nbin_port
        storage = BlockRam(depth=8192 * kibibytes // width, width=width)
        return OnChipMemory(storage=storage, address_width=config.address_width)

    return make


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and what is built for it.

    Parameters
    ----------
    name : what users call it
    title : what it is
    platform : module and class of its amaranth-boards platform, "module:Class"
    config : the core; its memory port is shared
    memory : makes the memory component
    memory_text : what the memory is
    clock : cycles per second
    baud : of the host link
    """

    name: str
    title: str
    platform: str
    config: Config
    memory: Callable[[Config], Any]
    memory_text: str
    clock: int
    baud: int = 1_000_000

    def make_top(self) -> BoardTop:
        """The board's logic, the same for the FPGA and for simulation."""
        return BoardTop(
            config=self.config, memory=self.memory(self.config), clock=self.clock, baud=self.baud
        )

    def make_platform(self) -> Any:
        """The platform of amaranth-boards.

        Raises
        ------
        UserError
            If there is none.
        """
        module, _, name = self.platform.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except ModuleNotFoundError as error:
            if not error.name or not error.name.startswith("amaranth_boards"):
                raise UserError(f"there is no module {error.name!r} for a platform") from None
            if "." not in error.name:
                raise UserError(
                    "amaranth-boards is missing; install it with: pip install -e '.[boards]'"
                ) from None
            raise UserError(f"there is no module {module!r} in amaranth-boards") from None
        except AttributeError:
            raise UserError(f"there is no platform {name!r} in {module!r}") from None

    def changed(self, **changes) -> "Board":
        """A copy with some fields changed."""
        return replace(self, **changes)


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            title="iCEBreaker (iCE40UP5K)",
            platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
            config=Config(
                name="icebreaker", tn=2, ti=4, width=8, nbin_rows=128, sb_rows=64, nbout_rows=32,
                bias_rows=8, segments=4, max_reduction=4096, nbin_port=32, sb_port=32,
                nbout_port=32, cp_port=32, shared_port=True, address_width=17, outstanding=1,
                burst=8, nbin_fifo=2, instruction_buffer=256, queue=1, nfu1_stages=2,
                nfu2_stages=2, nfu3_stages=3,
            ),
            memory=_spram,
            memory_text="128 KiB SPRAM",
            clock=24_000_000,
        ),
        Board(
            name="ulx3s-85f",
            title="ULX3S (ECP5 LFE5U-85F)",
            platform="amaranth_boards.ulx3s:ULX3S_85F_Platform",
            config=Config(
                name="ulx3s-85f", tn=8, ti=16, nbin_rows=64, sb_rows=64, nbout_rows=64,
                bias_rows=16, nbin_port=64, sb_port=64, nbout_port=64, cp_port=64,
                shared_port=True, address_width=25, outstanding=4, burst=32, nbin_fifo=32,
                instruction_buffer=1024, queue=2,
            ),
            memory=_block_ram(256),
            memory_text="256 KiB block RAM",
            clock=50_000_000,
        ),
    )
}  # fmt: skip
"""All known boards by name."""


def find_board(name: str) -> Board:
    """The board ``name``.

    Raises
    ------
    UserError
        If it is not known.
    """
    if name not in BOARDS:
        raise UserError(f"unknown board {name!r}; known: {', '.join(BOARDS)}")
    return BOARDS[name]
