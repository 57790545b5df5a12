"""A Verilated core with its memory, as a Python object."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw.bus.axi import Response

from ..memory import Fault, MemorySettings
from ..ports import STREAMS, MemoryPort

__all__ = ["ALWAYS", "MOMENT", "PROFILE", "Model", "Window"]

_TAGS = 65536
_STALLS = 8

PROFILE = np.dtype(
    [
        ("active", np.uint64),
        ("stalls", np.uint64, _STALLS),
        ("bytes", np.uint64, len(STREAMS)),
    ]
)
"""What the core did in the cycles of one tag: NFU steps, cycles by ``Stall``, bytes by stream."""

MOMENT = np.dtype([("cycle", np.uint64), ("events", np.uint64)])
"""From this cycle on, the core's output ``events`` (the bits of ``hw.diannao.events.Events``)."""

Window = tuple[int, int]
"""Clock cycles to be recorded, from the first to before the last."""

ALWAYS: Window = (0, 1 << 62)


class _Settings(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("latency", "bandwidth", "stall", "seed")]


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    handle, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    signatures = {
        "harness_open": (handle, ctypes.POINTER(_Settings)),
        "harness_close": (None, handle),
        "harness_memory": (None, handle, ctypes.c_void_p, u64),
        "harness_fault": (None, handle, ctypes.c_int, u64, u64, u32),
        "harness_clear_faults": (None, handle),
        "harness_run": (u64, handle, u64),
        "harness_irq": (ctypes.c_int, handle),
        "harness_now": (u64, handle),
        "harness_read_register": (ctypes.c_int, handle, u32, ctypes.POINTER(u32)),
        "harness_write_register": (ctypes.c_int, handle, u32, u32),
        "harness_profile": (ctypes.c_void_p, handle),
        "harness_record": (None, handle, u64, u64),
        "harness_timeline": (ctypes.c_void_p, handle, ctypes.POINTER(u64)),
        "harness_violation": (ctypes.c_char_p, handle),
    }
    if hasattr(lib, "harness_trace"):
        signatures["harness_trace"] = (None, handle, ctypes.c_char_p, u64, u64)
    for name, (result, *arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


class Model:
    """A core in Verilator, out of reset, with an empty memory.

    Parameters
    ----------
    library : from ``build``
    ports : the same that it was built with
    settings : the memory's
    trace : waveform file to write (the library must have been built for its format)
    window : the cycles that waveforms show
    progress : called with the number of cycles so far, some ten times a second

    Members
    -------
    memory : uint8 array, the core's memory itself (assign with ``attach``)
    """

    _SLICE = 20_000  # cycles between two looks at Ctrl-C and progress

    def __init__(
        self,
        library: Path,
        ports: tuple[MemoryPort, ...],
        settings: MemorySettings | None = None,
        *,
        trace: Path | None = None,
        window: Window = ALWAYS,
        progress: Callable[[int], None] | None = None,
    ):
        settings = settings or MemorySettings()
        self._handle = None
        self._lib = _load(library)
        self._ports = ports
        self._progress = progress
        self.seconds = 0.0
        """Wall-clock time spent in clock cycles."""
        stall = round(settings.stall * 65536)
        self._handle = self._lib.harness_open(
            _Settings(settings.latency, settings.bandwidth, stall, settings.seed & 0xFFFFFFFF)
        )
        self.attach(np.zeros(0, dtype=np.uint8))
        if trace is not None:
            self._lib.harness_trace(self._handle, str(trace).encode(), *window)

    def close(self) -> None:
        """Free the model and finish the waveform file."""
        if self._handle is not None:
            self._lib.harness_close(self._handle)
            self._handle = None

    __del__ = close

    def attach(self, memory: np.ndarray) -> None:
        """Make ``memory`` (contiguous uint8) the core's memory, without a copy."""
        if memory.dtype != np.uint8 or memory.ndim != 1 or not memory.flags.c_contiguous:
            raise ValueError("memory must be a contiguous one-dimensional uint8 array")
        self.memory = memory
        self._lib.harness_memory(self._handle, memory.ctypes.data, memory.size)

    def set_faults(self, *faults: Fault) -> None:
        """Answer with errors in these ranges from now on, and nowhere else."""
        self._lib.harness_clear_faults(self._handle)
        names = [port.name for port in self._ports]
        for fault in faults:
            port = -1 if fault.port is None else names.index(fault.port)
            self._lib.harness_fault(
                self._handle, port, fault.first, fault.last, fault.response.value
            )

    @property
    def cycles(self) -> int:
        """Clock cycles since the model was made."""
        return self._lib.harness_now(self._handle)

    @property
    def irq(self) -> bool:
        return bool(self._lib.harness_irq(self._handle))

    def run(self, cycles: int) -> bool:
        """Run until the interrupt is high, at most ``cycles``; true if it is.

        Raises
        ------
        RuntimeError
            If the core broke a rule of AXI.
        """
        left = cycles
        while left > 0 and not self.irq:
            begin = time.perf_counter()
            left -= self._lib.harness_run(self._handle, min(left, self._SLICE))
            self.seconds += time.perf_counter() - begin
            if self._progress is not None:
                self._progress(self.cycles)
        violation = self._lib.harness_violation(self._handle)
        if violation:
            raise RuntimeError(f"the core breaks AXI: port {violation.decode()}")
        return self.irq

    def read_register(self, address: int) -> int:
        """The 32-bit register at byte ``address`` of the control port."""
        value = ctypes.c_uint32()
        response = self._lib.harness_read_register(self._handle, address, value)
        self._check(response, "read", address)
        return value.value

    def write_register(self, address: int, value: int) -> None:
        """Set the 32-bit register at byte ``address`` of the control port."""
        response = self._lib.harness_write_register(self._handle, address, value)
        self._check(response, "write", address)

    def _check(self, response: int, access: str, address: int) -> None:
        if response:
            answer = "no answer" if response < 0 else Response(response).name
            raise RuntimeError(f"{access} of register {address:#x} failed: {answer}")

    def record(self, window: Window) -> None:
        """Keep what ``events`` says in the cycles of ``window`` for ``timeline``."""
        self._lib.harness_record(self._handle, *window)

    def timeline(self) -> np.ndarray:
        """What was recorded: an entry (``MOMENT``) for each cycle with a pulse or a change."""
        count = ctypes.c_uint64()
        address = self._lib.harness_timeline(self._handle, count)
        if not count.value:
            return np.empty(0, dtype=MOMENT)
        raw = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        return np.ctypeslib.as_array(raw, (count.value * MOMENT.itemsize,)).view(MOMENT).copy()

    def profile(self, tags: int = _TAGS) -> np.ndarray:
        """What happened since the model was made: a copy of the first ``tags`` entries, by tag."""
        address = self._lib.harness_profile(self._handle)
        raw = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        return np.ctypeslib.as_array(raw, (tags * PROFILE.itemsize,)).view(PROFILE).copy()
