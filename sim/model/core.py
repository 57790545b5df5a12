"""A run of the compiled model: programs, cores and memories as it takes them."""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.bus.bursts import burst_bytes
from hw.bus.row_beats import rows_per_burst
from hw.diannao.config import Config
from hw.diannao.engine.engine import burst_size
from hw.diannao.events import Stall
from hw.diannao.fields import SLOTS, slot_words
from hw.diannao.isa import LEVELS, WORD_BITS, NfuOut
from hw.diannao.words import Slots
from hw.nfu.layouts import Op

from ..memory import MemorySettings
from ..ports import STREAMS, memory_ports
from .build import library

__all__ = ["ACTIVE", "CAUSES", "Run", "run", "steps_of"]

ACTIVE = (Op.MAC, Op.MAX, Op.SUM)
"""What reads neurons."""
CAUSES = tuple(stall.name.lower() for stall in Stall if stall not in (Stall.NONE, Stall.IDLE))
"""Why there is no step."""

_UNITS = ("sb", "nbin", "nbout", "nfu")
_LOOPS = 3
_PATIENCE = 100_000
"""Cycles without anything moving, beyond the memory's latency, after which nothing will."""

_TRANSFER = ("descriptor.address", "descriptor.run",
             *(f"descriptor.{part}[{n}]" for part in ("count", "stride") for n in range(_LOOPS)),
             "skip", "fence")  # fmt: skip
_NEST = ("reduce", "nbin", "sb", "nbin_free", "sb_free",
         *(f"levels[{n}].{field}" for n in range(LEVELS)
           for field in ("count", "nbin_step", "sb_step", "nbin_free", "sb_free")))  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a program took.

    Parameters
    ----------
    cycles : from start to end
    ends : by kind of slot: when the last data of each slot was in its buffer (SB, NBin), when its
        last response came (NBout), when its last step was (NFU)
    stalls : for each nest and once more, cycles without a step by cause (``CAUSES``); those for
        want of an instruction come before the nest and count for the layer of the one before it
    """

    cycles: int
    ends: Mapping[str, np.ndarray]
    stalls: np.ndarray


def steps_of(nests: Slots) -> np.ndarray:
    """Steps of every nest."""
    counts = [nests.fields[f"levels[{n}].count"].astype(np.int64) for n in range(LEVELS)]
    return np.prod(counts, axis=0)


class _Program(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("address", "words", "instructions")),
        ("slot_words", ctypes.c_int64 * len(SLOTS)),
        ("present", ctypes.c_void_p),
        ("transfers", ctypes.c_void_p * len(SLOTS)),
        ("nests", ctypes.c_void_p),
    ]


class _Result(ctypes.Structure):
    _fields_ = [("ends", ctypes.c_void_p * len(SLOTS)), ("stalls", ctypes.c_void_p)]


class _Settings(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("latency", "bandwidth", "stall", "seed")]


def run(
    slots: Mapping[str, Slots], words: int, address: int, config: Config, settings: MemorySettings
) -> Run:
    """Run a program.

    Parameters
    ----------
    slots : the program, by kind
    words : its length
    address : its first byte
    config : core
    settings : memory, whose pauses at random are left out

    Raises
    ------
    ValueError
        If the program never ends, or on-chip memory has a core with several ports.
    """
    if settings.on_chip and not config.shared_port:
        raise ValueError("on-chip memory has one port: shared_port must be True")
    kinds = list(SLOTS)
    machine, ports = _machine(config, settings), _ports(config)
    present = np.zeros(len(slots["cp"].owners), dtype=np.uint8)
    present[slots["cp"].fields["end"] != 0] = 1
    for kind in _UNITS:
        present[slots[kind].owners] |= 1 << kinds.index(kind)
    transfers = {kind: _table(slots[kind], _TRANSFER) for kind in ("sb", "nbin", "nbout")}
    nests = _nests(slots["nfu"])
    ends = {kind: np.zeros(len(slots[kind].owners), dtype=np.int64) for kind in _UNITS}
    stalls = np.zeros((1 + len(nests), len(CAUSES)), dtype=np.int64)

    program = _Program(address, words, len(present))
    program.slot_words[:] = [slot_words(layout) for layout in SLOTS.values()]
    program.present, program.nests = present.ctypes.data, nests.ctypes.data
    result = _Result(stalls=stalls.ctypes.data)
    for n, kind in enumerate(kinds):
        if kind in transfers:
            program.transfers[n] = transfers[kind].ctypes.data
        if kind in ends:
            result.ends[n] = ends[kind].ctypes.data
    memory = _Settings(settings.latency, settings.bandwidth)
    function = library().model_run
    function.restype = ctypes.c_int64
    cycles = function(
        ctypes.c_void_p(machine.ctypes.data), ctypes.byref(memory),
        ctypes.c_void_p(ports.ctypes.data), len(ports), ctypes.byref(program), ctypes.byref(result),
        ctypes.c_int64(settings.latency + _PATIENCE),
    )  # fmt: skip
    if cycles < 0:
        raise ValueError("the program never ends (the interpreter can tell where it hangs)")
    return Run(cycles, ends, stalls)


def _table(slots: Slots, names: tuple[str, ...]) -> np.ndarray:
    """These fields of all slots, a row each; 0 for those that they do not have."""
    table = np.zeros((len(slots.owners), len(names)), dtype=np.int64)
    for n, name in enumerate(names):
        if name in slots.fields:
            table[:, n] = slots.fields[name].astype(np.int64)
    return table


def _nests(slots: Slots) -> np.ndarray:
    """As the struct Nest."""
    op = slots.fields["op"]
    active = np.isin(op, [each.value for each in ACTIVE])
    what = (
        active,
        np.isin(op, [each.value for each in (Op.MAC, Op.BIAS, Op.TABLE)]),
        op == Op.TABLE.value,
        active & (slots.fields["target"] == NfuOut.NFU3.value),
    )
    return np.concatenate([np.stack(what, axis=1), _table(slots, _NEST)], axis=1)


def _machine(config: Config, settings: MemorySettings) -> np.ndarray:
    """As the struct Machine."""
    row = config.tn * config.element_bytes
    beats = {kind: getattr(config, f"{kind}_port") // 8 for kind in ("nbin", "sb", "nbout", "cp")}
    buffer = config.instruction_buffer // beats["cp"]
    limits = {
        "nbin": config.nbin_burst * beats["nbin"],
        "sb": config.burst * beats["sb"],
        "nbout": min(
            rows_per_burst(config.nbout_rows, row, beats["nbout"]) * row,
            config.burst * beats["nbout"],
        ),
        "cp": config.cp_burst * beats["cp"],
    }
    if config.engine:
        limits = dict.fromkeys(limits, burst_size(config))
    return np.array(
        [
            config.queue, config.slots_in_work, config.outstanding, config.burst_cycles,
            *beats.values(),
            *(burst_bytes(8 * beats[kind], limits[kind]) for kind in beats),
            config.nbin_elements, config.nbin_fifo, config.element_bytes, config.ti,
            config.sb_rows, config.nbout_rows, row,
            buffer, WORD_BITS // 8,
            config.operand_stages, config.nfu1_stages, config.nfu2_stages, config.nfu3_stages,
            config.activation_cycles, config.paced, config.engine,
            settings.on_chip,
        ],
        dtype=np.int64,
    )  # fmt: skip


def _ports(config: Config) -> np.ndarray:
    """As an array of the struct Port."""
    return np.array(
        [
            [port.width // 8, port.writes,
             *(STREAMS.index(port.streams[n]) if n < len(port.streams) else -1 for n in range(3))]
            for port in memory_ports(config)
        ],
        dtype=np.int64,
    )  # fmt: skip
