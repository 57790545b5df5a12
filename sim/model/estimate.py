"""The performance model: cycles, stalls and traffic of a program, without RTL."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw.diannao.config import Config
from hw.diannao.engine.engine import burst_size
from hw.diannao.words import Slots, columns

from ..execution import Activity
from ..memory import MemorySettings
from ..ports import STREAMS
from ..program import Program
from .core import ACTIVE, CAUSES, Run, run, steps_of
from .repetition import Excerpt, Loop, excerpt_of, kinds_of

__all__ = ["Estimate", "estimate"]

_WHOLE = 500_000
"""Cycles of programs that are followed as a whole: they take the model less than 0.1 s."""
_STREAMS = ("nbin", "sb", "nbout")
_ITERATIONS = 5
"""Iterations that are kept of a loop at first."""
_SETTLED = 0.0125
"""How much they may differ, relatively, to stand for others."""
_LATE = 0.005
"""By how much, relatively, a unit in a loop may be slower than the NFU."""
_ENGINE_BURST, _ENGINE_RUN, _ENGINE_ROW = 8, 7, 3
"""Least cycles of an engine for a burst, and beside bursts for a run and for a row of SB."""


@dataclass(frozen=True)
class Estimate:
    """What a program takes on a core.

    Parameters
    ----------
    cycles : from start to end (the core's counter CYCLES)
    active : NFU steps of MAC, MAX and SUM
    stalls : cycles without a step by cause, the lower-case names of ``hw.diannao.events.Stall``
    bytes : useful bytes by stream (``sim.ports.STREAMS``)
    layers : the same by tag; bytes are those of the layer's instructions
    followed : the part of the NFU's steps that was followed; 1.0 if all were
    """

    cycles: int
    active: int
    stalls: dict[str, int]
    bytes: dict[str, int]
    layers: dict[int, Activity]
    followed: float


def estimate(
    program: Program,
    config: Config | None = None,
    memory: MemorySettings | None = None,
    *,
    whole: int = _WHOLE,
) -> Estimate:
    """Predict what ``program`` takes on a core.

    Parameters
    ----------
    config : the core; by default the one that the program was compiled for
    memory : its parameters; pauses at random (``stall``) are left out
    whole : if a program must take more cycles, loops are cut short when they have settled; else
        the result is exact

    Raises
    ------
    ValueError
        If the program never ends.
    """
    config = config or program.config
    memory = memory or MemorySettings()
    slots = columns(program.words)
    kinds = kinds_of(slots)
    steps = np.zeros(len(kinds), dtype=np.int64)
    steps[slots["nfu"].owners] = steps_of(slots["nfu"])
    long = _least_cycles(slots, steps, config, memory) > whole
    least = _ITERATIONS if long else len(kinds)
    while True:
        excerpt = excerpt_of(kinds, steps, least)
        words, some = program.words, slots
        if len(excerpt.kept) < len(kinds):
            words = _words_of(program.words, slots, excerpt)
            some = columns(words)
        done = run(some, len(words), program.address, config, memory)
        if all(_change(some, done, loop) <= _SETTLED for loop in excerpt.loops):
            return _total(some, done, slots, excerpt, program, config)
        least *= 2


def _least_cycles(
    slots: Mapping[str, Slots], steps: np.ndarray, config: Config, memory: MemorySettings
) -> float:
    """Cycles that the NFU's steps take, or the bytes over the ports and to the memory.

    And those of an engine, which makes all bursts.
    """
    moved = {kind: int(_bytes_of(slots[kind]).sum()) for kind in _STREAMS}
    ports = [8 * moved[kind] / getattr(config, f"{kind}_port") for kind in _STREAMS]
    engine = 0.0
    if config.engine:
        size = burst_size(config)
        burst = max(_ENGINE_BURST, memory.latency / config.outstanding)
        rows = int(_runs_of(slots["sb"]).sum())  # those that follow each other share bursts
        engine = _ENGINE_ROW * rows + burst * moved["sb"] / size
        for kind in ("nbin", "nbout"):
            bursts = np.ceil(slots[kind].fields["descriptor.run"] / size)
            engine += float((_runs_of(slots[kind]) * (_ENGINE_RUN + burst * bursts)).sum())
    return max(int(steps.sum()), *ports, engine, sum(moved.values()) / memory.bandwidth)


def _runs_of(transfers: Slots) -> np.ndarray:
    """Runs of load or store slots."""
    return np.prod([transfers.fields[f"descriptor.count[{n}]"] for n in range(3)], axis=0)


def _bytes_of(transfers: Slots) -> np.ndarray:
    """Bytes that load or store slots move."""
    return _runs_of(transfers) * transfers.fields["descriptor.run"]


def _words_of(words: np.ndarray, slots: Mapping[str, Slots], excerpt: Excerpt) -> np.ndarray:
    """The instructions of an excerpt."""
    count = len(slots["cp"].owners)
    lengths = np.zeros(count, dtype=np.int64)
    for kind in slots.values():
        lengths[kind.owners] += kind.words.shape[1]
    kept = np.zeros(count, dtype=bool)
    kept[excerpt.kept] = True
    return words[: lengths.sum()][np.repeat(kept, lengths)]


def _spans(
    some: Mapping[str, Slots], done: Run, kind: str, iterations: list[tuple[int, int]]
) -> np.ndarray:
    """How long a unit took for each iteration, from end to end; empty if it has no part."""
    owners = some[kind].owners
    ends = np.searchsorted(owners, [last for _, last in iterations], "right") - 1
    before = int(np.searchsorted(owners, iterations[0][0])) - 1
    if before < 0 or ends[0] == before:
        return np.zeros(0, dtype=np.int64)
    return np.diff(done.ends[kind][[before, *ends]])


def _change(some: Mapping[str, Slots], done: Run, loop: Loop) -> float:
    """By how much the former and the latter of iterations differ, relatively, that should be alike.

    Where several ports share the memory's bandwidth, each may differ from the next for ever.
    """
    spans = _spans(some, done, "nfu", loop.alike)
    half = len(spans) // 2
    if not half:
        return 0.0
    return float(abs(spans[:half].mean() - spans[-half:].mean()) / spans.mean())


def _drift(some: Mapping[str, Slots], done: Run, loop: Loop) -> tuple[str, float]:
    """Who cannot keep up with the NFU in a loop, and by how many cycles per iteration.

    Such a unit lives on what is in the buffers; when that is used up, the NFU has to wait for it.
    """
    steps = _spans(some, done, "nfu", loop.iterations)
    if not len(steps):
        return CAUSES[0], 0.0
    late = {}
    for kind in ("nbout", "sb", "nbin"):
        spans = _spans(some, done, kind, loop.iterations)
        late[kind] = float(spans.mean() - steps.mean()) if len(spans) else 0.0
    cause = max(late, key=late.__getitem__)
    return cause, late[cause] if late[cause] > _LATE * steps.mean() else 0.0


def _total(
    some: Mapping[str, Slots],
    done: Run,
    slots: Mapping[str, Slots],
    excerpt: Excerpt,
    program: Program,
    config: Config,
) -> Estimate:
    """What the excerpt stands for."""
    tags = slots["cp"].fields["tag"]
    stalls: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(CAUSES, 0.0))
    owners = some["nfu"].owners
    own = tags[excerpt.kept[owners]].tolist()
    # Those for want of an instruction count for the nest before.
    for tag, before, weight, causes in zip(
        [*own, *own[-1:]] or [0], [0, *own], [*excerpt.weight[owners].tolist(), 1.0],
        done.stalls.tolist(), strict=True,
    ):  # fmt: skip
        for cause, count in zip(CAUSES, causes, strict=True):
            stalls[before if cause == "instruction" else tag][cause] += weight * count
    for loop in excerpt.loops:
        cause, late = _drift(some, done, loop)
        for first, _ in loop.iterations:
            left_out = excerpt.weight[first] * (1 - 1 / loop.factor)
            stalls[int(tags[excerpt.kept[first]])][cause] += late * left_out

    layers: dict[int, Activity] = defaultdict(Activity)
    for tag, causes in stalls.items():
        layers[tag].stalls = {cause: round(count) for cause, count in causes.items()}
        layers[tag].cycles = sum(layers[tag].stalls.values())
    nests = slots["nfu"]
    steps, active = steps_of(nests), np.isin(nests.fields["op"], [op.value for op in ACTIVE])
    for tag in np.unique(tags[nests.owners]).tolist():
        of_layer = tags[nests.owners] == tag
        layers[tag].cycles += int(steps[of_layer].sum())
        layers[tag].active += int(steps[of_layer & active].sum())
    moved: dict[str, int] = dict.fromkeys(STREAMS, 0)
    for stream in _STREAMS:
        sizes = _bytes_of(slots[stream])
        for tag in np.unique(tags[slots[stream].owners]).tolist():
            layers[tag].bytes[stream] = int(sizes[tags[slots[stream].owners] == tag].sum())
        moved[stream] = int(sizes.sum())
    # A program is fetched from the beginning of its first beat.
    moved["cp"] = program.words.nbytes + program.address % (config.cp_port // 8)
    return Estimate(
        cycles=sum(layer.cycles for layer in layers.values()),
        active=sum(layer.active for layer in layers.values()),
        stalls={cause: sum(layer.stalls.get(cause, 0) for layer in layers.values())
                for cause in CAUSES},
        bytes=moved,
        layers=dict(layers),
        followed=float(steps_of(some["nfu"]).sum() / steps.sum()) if len(steps) else 1.0,
    )  # fmt: skip
