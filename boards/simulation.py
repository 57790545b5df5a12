"""A board, simulated: its Verilog in Verilator, its serial line at a pseudo-terminal."""

import ctypes
import os
import shutil
import threading
import tty
from collections.abc import Callable
from pathlib import Path

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

import hw
from sim.cache import cached, digest
from sim.cosim import simulator_environment, to_verilog
from sim.toolchain import need_compiler
from sim.verilator.build import Compiler, run, together

from .catalog import Board
from .top import BoardTop

__all__ = ["LineSimulation", "simulate_board"]

_HERE = Path(__file__).parent
_DIVISOR = 4
_VERILATE = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
             "--assert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-MULTIDRIVEN",
             "--top-module", "board", "--prefix", "Vboard", "--Mdir", "model")  # fmt: skip


class SimulatedTop(wiring.Component):
    """A board's logic, and a model of its memory chip if it has one.

    Parameters
    ----------
    top : the logic

    Members
    -------
    rx : In(1), tx : Out(1), the serial line
    broken : Out(5), number of the memory's timing rule that was broken; 0 if none
    """

    rx: Signal
    tx: Signal
    broken: Signal

    def __init__(self, *, top: BoardTop):
        self._top = top
        super().__init__({"rx": In(1), "tx": Out(1), "broken": Out(5)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self._top
        m.d.comb += [top.rx.eq(self.rx), self.tx.eq(top.tx)]
        if hasattr(top, "pins"):
            m.submodules.model = model = top.memory.make_model()
            connect(m, top.pins, model.pins)  # type: ignore
            m.d.comb += self.broken.eq(model.broken)
        return m


def _sources() -> list[bytes]:
    files = [*Path(hw.__file__).parent.rglob("*.py"), *_HERE.rglob("*.py")]
    return [path.read_bytes() for path in sorted(files)]


def _library(key: str, make_top: Callable[[], SimulatedTop]) -> Path:
    """The shared library of a component with ``rx`` and ``tx``, built or found built."""
    need_compiler()
    environment = simulator_environment("verilator")
    root = Path(environment["VERILATOR_ROOT"])
    compiler = Compiler(root, environment, None)
    models = sorted((_HERE / "models").glob("*.v"))
    harness = _HERE / "harness.cpp"
    parts = [path.read_bytes() for path in (*models, harness)]
    key = digest(key, compiler.key, *_VERILATE, *parts, *_sources())

    def make(folder: Path) -> None:
        (folder / "board.sv").write_text(to_verilog(make_top(), "board"))
        for path in models:
            shutil.copy(path, folder)
        command = [str(root / "bin" / "verilator_bin"), *_VERILATE, "-y", ".", "board.sv"]
        run(command, environment, folder)
        model = folder / "model"
        compiler.compile([harness, *together(model, "Vboard")], model, model)
        compiler.link([*model.glob("*.o"), *compiler.runtime().glob("*.o")], folder / "board.so")
        shutil.rmtree(model)

    return cached("board", key, make) / "board.so"


class LineSimulation:
    """Runs a SimulatedTop in a thread until it is closed, or breaks a rule of its memory.

    Parameters
    ----------
    key : identifies the component, together with the source files
    make_top : makes the component
    divisor : cycles per bit of its line

    Attributes
    ----------
    port : the pseudo-terminal that is its serial port
    """

    def __init__(self, key: str, make_top: Callable[[], SimulatedTop], divisor: int):
        library = ctypes.CDLL(str(_library(key, make_top)))
        library.board_new.restype = ctypes.c_void_p
        library.board_cycles.restype = ctypes.c_uint64
        library.board_cycles.argtypes = library.board_stop.argtypes = [ctypes.c_void_p]
        library.board_reset.argtypes = library.board_delete.argtypes = [ctypes.c_void_p]
        library.board_run.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.board_faults.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        library.board_broken.argtypes = [ctypes.c_void_p]
        self._library = library
        self._board = library.board_new(divisor)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # held open, so that users may come and go
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._thread = threading.Thread(
            target=library.board_run, args=(self._board, self._master), daemon=True
        )
        self._thread.start()

    def reset(self) -> None:
        """Push the reset button."""
        self._library.board_reset(self._board)

    def spoil(self, per_million: int) -> None:
        """From now on so many of a million bytes are dropped, repeated or changed."""
        self._library.board_faults(self._board, per_million)

    @property
    def cycles(self) -> int:
        """Clock cycles simulated so far."""
        return self._library.board_cycles(self._board)

    def close(self) -> None:
        """Stop.

        Raises
        ------
        RuntimeError
            If a timing rule of the memory was broken.
        """
        if self._board is None:
            return
        self._library.board_stop(self._board)
        self._thread.join()
        broken = self._library.board_broken(self._board)
        self._library.board_delete(self._board)
        self._board = None
        os.close(self._master)
        os.close(self._slave)
        if broken:
            raise RuntimeError(f"rule {broken} of boards/models/sdram_chip.v is broken")


def simulate_board(board: Board) -> LineSimulation:
    """The simulated ``board``; everything but clock generation and pin buffers is in it.

    For the sake of simulation time its line is as fast as it can be, four clock cycles per bit, and
    what is silence there is as much shorter.
    """
    board = board.changed(baud=board.clock // _DIVISOR)
    silence = 100 * 10 * _DIVISOR / board.clock  # a hundred bytes
    key = repr((board.name, board.config, board.clock, board.memory_text, silence))
    return LineSimulation(key, lambda: SimulatedTop(top=board.make_top(silence=silence)), _DIVISOR)
