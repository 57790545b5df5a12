"""The boards that are known, with the configuration that each one gets."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hw.diannao.config import Config, ConfigError
from hw.errors import UserError

from .memory.onchip import OnChipMemory
from .memory.sdram import SdramMemory
from .memory.sdram_chip import SDR_32MB
from .memory.storage import BlockRam, Spram
from .top import BoardTop

__all__ = ["BOARDS", "Board", "custom_board", "find_board"]


def _block_ram(kibibytes: int) -> Callable[[Config, int], OnChipMemory]:
    def make(config: Config, clock: int) -> OnChipMemory:
        width = config.nbin_port
        storage = BlockRam(depth=8192 * kibibytes // width, width=width)
        return OnChipMemory(storage=storage, address_width=config.address_width)

    return make


def _spram(config: Config, clock: int) -> OnChipMemory:
    return OnChipMemory(storage=Spram(), address_width=config.address_width)


def _sdram(config: Config, clock: int) -> SdramMemory:
    return SdramMemory(
        chip=SDR_32MB, clock=clock, address_width=config.address_width, data_width=config.nbin_port
    )


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and what is built for it.

    Parameters
    ----------
    name : what users call it
    title : what it is
    platform : module and class of its amaranth-boards platform, "module:Class"
    config : the core; its memory port is shared
    memory : makes the memory component for a configuration and a clock
    memory_text : what the memory is
    clock : cycles per second
    loader : what openFPGALoader calls it
    baud : of the host link
    placer : further options of nextpnr, for its placer
    """

    name: str
    title: str
    platform: str
    config: Config
    memory: Callable[[Config, int], Any]
    memory_text: str
    clock: int
    loader: str = ""
    baud: int = 1_000_000
    placer: str = ""

    def __post_init__(self):
        if not self.config.shared_port:
            raise ConfigError("shared_port must be True on a board, not False")

    def make_top(self, **options) -> BoardTop:
        """The board's logic; ``options`` are further parameters of BoardTop."""
        return BoardTop(
            config=self.config, memory=self.memory(self.config, self.clock), clock=self.clock,
            baud=self.baud, **options,
        )  # fmt: skip

    def make_platform(self) -> Any:
        """The platform of amaranth-boards.

        Raises
        ------
        UserError
            If there is none, or it is not in order.
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
        except (TypeError, ValueError) as error:
            raise UserError(f"platform {self.platform} cannot be made: {error}") from None

    def changed(self, **changes) -> "Board":
        """A copy with some fields changed."""
        return replace(self, **changes)


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            name="ulx3s-85f",
            title="ULX3S, LFE5U-85F",
            platform="amaranth_boards.ulx3s:ULX3S_85F_Platform",
            config=Config(
                name="ulx3s-85f", tn=8, ti=16, nbin_rows=512, sb_rows=512, nbout_rows=256,
                bias_rows=16, operand_stages=5, nfu2_stages=5, nfu3_stages=10, nfu3_lanes=2,
                paced=True, nbin_port=32, sb_port=32, nbout_port=32, cp_port=32,
                shared_port=True, address_width=25, outstanding=4, burst=32, burst_cycles=2,
                nbin_fifo=32, instruction_buffer=1024, queue=0,
            ),
            memory=_sdram,
            memory_text="32 MiB SDRAM",
            clock=80_000_000,
            loader="ulx3s",
            # Long paths weigh more than the length of the NFU's many wires.
            placer="--placer-heap-timingweight 30 --placer-heap-critexp 4",
        ),
        Board(
            name="icepi-zero",
            title="IcePi Zero, LFE5U-25F",
            platform="amaranth_boards.icepi_zero:IcepiZero1_3Platform",
            config=Config(
                name="icepi-zero", tn=4, ti=6, width=8, nbin_rows=128, sb_rows=64, nbout_rows=32,
                bias_rows=16, max_reduction=8192, nbin_port=32, sb_port=32, nbout_port=32,
                cp_port=32, shared_port=True, address_width=16, outstanding=2, burst=16,
                nbin_fifo=8, instruction_buffer=512, queue=1,
            ),
            memory=_block_ram(64),
            memory_text="64 KiB block RAM",
            clock=50_000_000,
            loader="icepi-zero",
        ),
        Board(
            name="icebreaker",
            title="iCEBreaker, iCE40UP5K",
            platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
            config=Config(
                name="icebreaker", tn=2, ti=4, width=8, nbin_rows=256, sb_rows=64, nbout_rows=32,
                bias_rows=16, segments=8, max_reduction=1024, operand_stages=2, nfu1_stages=1,
                nfu2_stages=1, nfu3_stages=5, nfu3_lanes=1, nfu3_multiplier="adders", paced=True,
                nbin_port=32, sb_port=32, nbout_port=32, cp_port=32, shared_port=True,
                address_width=17, outstanding=1, burst=8, nbin_fifo=2, instruction_buffer=256,
                queue=0, counters=False, engine=True,
            ),
            memory=_spram,
            memory_text="128 KiB SPRAM",
            clock=25_500_000,
            loader="ice40_generic",
        ),
        Board(
            name="tang-nano-9k",
            title="Tang Nano 9K, GW1NR-9",
            platform="amaranth_boards.tang_nano_9k:TangNano9kPlatform",
            config=Config(
                name="tang-nano-9k", tn=2, ti=4, width=8, nbin_rows=512, sb_rows=256,
                nbout_rows=256, bias_rows=32, segments=8, max_reduction=1024, operand_stages=2,
                nfu3_stages=5, nfu3_lanes=1, nfu3_multiplier="adders", paced=True, nbin_port=32,
                sb_port=32, nbout_port=32, cp_port=32, shared_port=True, address_width=16,
                outstanding=1, burst=8, nbin_fifo=2, instruction_buffer=256, queue=0,
                counters=False, engine=True,
            ),
            memory=_block_ram(34),
            memory_text="34 KiB block RAM",
            clock=40_500_000,
            loader="tangnano9k",
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


def custom_board(platform: str, kibibytes: int) -> Board:
    """A board for any platform of amaranth-boards, with on-chip memory and a small core.

    Parameters
    ----------
    platform : module and class, "module:Class"
    kibibytes : of memory, a power of two from 4 on

    Raises
    ------
    UserError
        If there is no such platform, or it has no clock.
    """
    if ":" not in platform:
        raise UserError(f"a platform must be MODULE:CLASS, not {platform!r}")
    if kibibytes < 4 or kibibytes & (kibibytes - 1):
        raise UserError(f"--memory must be a power of two from 4 on, not {kibibytes} KiB")
    board = Board(
        name="custom", title=platform, platform=platform,
        config=BOARDS["icepi-zero"].config.replace(
            name="custom", tn=2, ti=4, address_width=max(16, (1024 * kibibytes - 1).bit_length())
        ),
        memory=_block_ram(kibibytes), memory_text=f"{kibibytes} KiB block RAM", clock=1,
    )  # fmt: skip
    made = board.make_platform()
    if made.default_clk is None:
        raise UserError(f"{platform} has no clock of its own")
    return board.changed(clock=round(made.default_clk_frequency))
