"""The targets by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from hw.errors import UserError
from sim.execution import Progress, Target
from sim.memory import MemorySettings

from .accelerators import MachineConfig, accelerator_of

if TYPE_CHECKING:
    from boards.transport import BoardTarget

__all__ = ["CLOCKED", "SIMULATED_BOARD", "TARGETS", "is_board", "make_target", "open_board"]

SIMULATED_BOARD = "sim:"
"""What a target begins with that is the simulation of a board; the board's name follows."""
CLOCKED = ("verilator", "icarus")
"""Those that simulate the Verilog and so count clock cycles."""
TARGETS = ("golden", "isa", *CLOCKED)


def is_board(target: str) -> bool:
    """Whether ``target`` names a board: a serial port, or ``sim:BOARD``."""
    looks_like_port = "/" in target or target.upper().startswith("COM")
    return looks_like_port or target.startswith(SIMULATED_BOARD)


def open_board(target: str, *, every: bool, progress: Progress) -> "BoardTarget":
    """The board ``target``, which ``is_board``; simulated boards are built and started.

    Parameters
    ----------
    every : read back all tensors, not only outputs

    Raises
    ------
    UserError
        If there is no such board, or it does not answer.
    """
    try:
        from boards.serial_link import SerialLink
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is missing; install it with: pip install -e '.[boards]'"
        ) from None
    from boards.transport import BoardTarget

    if not target.startswith(SIMULATED_BOARD):
        progress(f"looking for a board at {target}")
        return BoardTarget(SerialLink(target), every=every, progress=progress)
    from boards.catalog import find_board
    from boards.simulation import simulate_board

    board = find_board(target.removeprefix(SIMULATED_BOARD))
    progress(f"building the Verilator model of {board.name}")
    simulation = simulate_board(board)
    progress(f"simulating {board.name}")
    # A simulation is slow, so its answers are awaited for longer.
    link = SerialLink(simulation.port, board.baud, patience=0.5)
    return BoardTarget(link, every=every, progress=progress, simulation=simulation)


def make_target(
    name: str,
    config: MachineConfig,
    memory: MemorySettings,
    trace: Path | None,
    window: tuple[int, int] | None,
    progress: Progress,
) -> Target | None:
    """The target ``name`` for programs of ``config``; None for golden, which executes none."""
    if name == "golden":
        return None
    if name == "isa":
        return accelerator_of(config).interpreter(config)
    if name == "icarus":
        from sim.icarus import IcarusTarget

        return IcarusTarget(config, memory, progress)
    from sim.verilator.model import ALWAYS
    from sim.verilator.target import VerilatorTarget

    return VerilatorTarget(config, memory, trace=trace, window=window or ALWAYS, progress=progress)
