"""The performance model: cycles, stalls and traffic of a program, without RTL."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots, columns

from ..execution import Activity
from ..memory import MemorySettings
from ..ports import STREAMS
from ..program import Program
from .core import Core
from .nest import ACTIVE
from .nfu import CAUSES
from .repetition import Excerpt, Loop, excerpt_of, kinds_of
from .streak import Streak, shortened, steps_of

__all__ = ["Estimate", "estimate"]

_ITERATIONS = 5
"""Iterations that are kept of a loop at first."""
_SETTLED = 0.0125
"""How much they may differ, relatively, to stand for others; what these take lies in between."""
_LATE = 0.005
"""By how much, relatively, a unit in a loop may be slower than the NFU."""


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
    whole: bool = False,
) -> Estimate:
    """Predict what ``program`` takes on a core.

    Parameters
    ----------
    config : the core; by default the one that the program was compiled for
    memory : its parameters; pauses at random (``stall``) are left out
    whole : follow every instruction; else loops are cut short when they have settled

    Raises
    ------
    ValueError
        If the program never ends.
    """
    config = config or program.config
    memory = memory or MemorySettings()
    slots = columns(program.words)
    kinds = kinds_of(slots)
    least = len(kinds) if whole else _ITERATIONS
    steps = np.zeros(len(kinds), dtype=np.int64)
    steps[slots["nfu"].owners] = steps_of(slots["nfu"])
    broken: set[int] = set()
    while True:
        excerpt = excerpt_of(kinds, steps, least)
        words = _words_of(program.words, slots, excerpt)
        some = columns(words)
        streaks = [Streak()] * len(some["nfu"].owners)
        if not whole:
            followed = {n for n, number in enumerate(excerpt.kept.tolist()) if number in broken}
            some, streaks = shortened(some, kinds[excerpt.kept], config, memory, followed)
        core = Core(some, len(words), program.address, config, memory, streaks)
        uneven = np.array([np.ptp(pauses) > 0 for pauses in core.nfu.pauses], dtype=bool)
        broken.update(excerpt.kept[some["nfu"].owners[uneven]].tolist())
        left_out = np.array(
            [
                streak.left_out * (streak.steps + int(pauses[0]))
                for streak, pauses in zip(streaks, core.nfu.pauses, strict=True)
            ],
            dtype=np.int64,
        )
        settled = all(_change(core, loop, left_out) <= _SETTLED for loop in excerpt.loops)
        if settled and not uneven.any():
            return _total(core, slots, excerpt, streaks, len(program.words))
        if not settled:
            least *= 2


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
    core: Core, kind: str, times: np.ndarray, iterations: list[tuple[int, int]]
) -> np.ndarray:
    """How long a unit took for each iteration, from end to end; empty if it has no part."""
    owners = core.slots[kind].owners
    ends = np.searchsorted(owners, [last for _, last in iterations], "right") - 1
    before = int(np.searchsorted(owners, iterations[0][0])) - 1
    if before < 0 or ends[0] == before:
        return np.zeros(0, dtype=np.int64)
    return np.diff(times[[before, *ends]])


def _change(core: Core, loop: Loop, left_out: np.ndarray) -> float:
    """By how much iterations differ, relatively, that should be alike.

    ``left_out`` are the cycles that were left out of each nest.
    """
    spans = _spans(core, "nfu", np.array(core.nfu.ends) + np.cumsum(left_out), loop.alike)
    return float(np.ptp(spans) / spans.mean()) if len(spans) else 0.0


def _drift(core: Core, loop: Loop) -> tuple[str, float]:
    """Who cannot keep up with the NFU in a loop, and by how many cycles per iteration.

    Such a unit lives on what is in the buffers; when that is used up, the NFU has to wait for it.
    """
    steps = _spans(core, "nfu", np.array(core.nfu.ends), loop.iterations)
    if not len(steps):
        return CAUSES[0], 0.0
    late = {}
    for cause, kind, times in (
        ("nbout", "nbout", np.array(core.store.done)),
        ("sb", "sb", core.sb.ends),
        ("nbin", "nbin", core.nbin.ends),
    ):
        spans = _spans(core, kind, times, loop.iterations)
        late[cause] = float(spans.mean() - steps.mean()) if len(spans) else 0.0
    cause = max(late, key=late.__getitem__)
    return cause, late[cause] if late[cause] > _LATE * steps.mean() else 0.0


def _total(
    core: Core,
    slots: Mapping[str, Slots],
    excerpt: Excerpt,
    streaks: list[Streak],
    words: int,
) -> Estimate:
    """What the excerpt stands for."""
    tags = slots["cp"].fields["tag"]
    stalls: dict[int, dict[str, float]] = defaultdict(lambda: dict.fromkeys(CAUSES, 0.0))
    owners = core.slots["nfu"].owners
    weights = excerpt.weight[owners].tolist()
    tag = 0
    for n, (own, weight, causes) in enumerate(
        zip(tags[excerpt.kept[owners]].tolist(), weights, core.nfu.stalls, strict=True)
    ):
        stalls[tag]["instruction"] += weight * causes["instruction"]
        tag = own
        left_out = int(core.nfu.pauses[n][0]) * streaks[n].left_out
        waits = sum(causes.values()) - causes["instruction"]
        more = weight * (1 + left_out / waits if left_out else 1)
        for cause in CAUSES[:-1]:
            stalls[tag][cause] += more * causes[cause]
    stalls[tag]["instruction"] += core.cycles - core.nfu.last
    for loop in excerpt.loops:
        cause, late = _drift(core, loop)
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
        own = tags[nests.owners] == tag
        layers[tag].cycles += int(steps[own].sum())
        layers[tag].active += int(steps[own & active].sum())
    moved: dict[str, int] = dict.fromkeys(STREAMS, 0)
    for stream in ("nbin", "sb", "nbout"):
        fields = slots[stream].fields
        sizes = prod(fields[f"descriptor.count[{n}]"] for n in range(3)) * fields["descriptor.run"]
        for tag in np.unique(tags[slots[stream].owners]).tolist():
            layers[tag].bytes[stream] = int(sizes[tags[slots[stream].owners] == tag].sum())
        moved[stream] = int(sizes.sum())
    moved["cp"] = core.control.bytes + (words - core.control.words) * 8
    return Estimate(
        cycles=sum(layer.cycles for layer in layers.values()),
        active=sum(layer.active for layer in layers.values()),
        stalls={cause: sum(layer.stalls.get(cause, 0) for layer in layers.values())
                for cause in CAUSES},
        bytes=moved,
        layers=dict(layers),
        followed=float(steps_of(core.slots["nfu"]).sum() / steps.sum()) if len(steps) else 1.0,
    )  # fmt: skip
