"""Leaving out iterations of a nest: fed fast enough, all in the middle take the same time.

The outermost loop of a nest goes with the outermost ones of the load, weight and store slots beside
it: every iteration frees as many neurons and synapses, and finishes as many rows of outputs, as the
slots bring and take away in some of theirs. Where no port needs longer for that than the NFU has
steps, and iterations in the middle are found to take the same time, further ones take it, too.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np

from hw.diannao.config import Config
from hw.diannao.isa import LEVELS, NfuOut
from hw.nfu.layouts import Op
from hw.program.words import Slots

from ..memory import MemorySettings
from .nest import ACTIVE

__all__ = ["WATCHED", "Streak", "shortened", "steps_of"]

_PATH = 16
"""Cycles of a request and its data between descriptor and buffer, besides the memory's latency."""
_ROUND_TRIPS = 4
"""So many times from request to data pass before and behind the iterations that are left out."""
WATCHED = 2
"""Iterations between these that must take the same time."""
_FLIGHT = 4
"""Cycles from the request of a burst to its end, besides the latency of memory and the beats."""
_LOOPS = 3
"""Loops of a descriptor."""


@dataclass(frozen=True)
class Streak:
    """Iterations of what is kept of a nest that must take the same time.

    Parameters
    ----------
    first : number of their first step
    steps : of an iteration, 0 if nothing was left out
    left_out : iterations that were
    """

    first: int = 0
    steps: int = 0
    left_out: int = 0


_KINDS = ("nbin", "sb", "nbout")


@dataclass(frozen=True)
class _Loop:
    """A nest's outermost loop.

    Parameters
    ----------
    level, count : which level it is, and its iterations
    steps : of an iteration
    moved : elements and rows of synapses that an iteration frees, rows of outputs that it finishes
    """

    level: int
    count: int
    steps: int
    moved: dict[str, int]


@dataclass(frozen=True)
class _Cut:
    """What is kept of a nest and the slots beside it.

    Parameters
    ----------
    loop : the nest's
    lead : iterations of it that are kept before and behind those that are watched
    counts : field and value by kind of slot
    """

    loop: _Loop
    lead: int
    counts: dict[str, tuple[str, int]]

    @property
    def streak(self) -> Streak:
        return Streak(
            self.lead * self.loop.steps, self.loop.steps,
            self.loop.count - 2 * self.lead - WATCHED,
        )  # fmt: skip


def steps_of(nests: Slots) -> np.ndarray:
    """Steps of every nest."""
    return np.prod(
        [nests.fields[f"levels[{n}].count"].astype(np.int64) for n in range(LEVELS)], axis=0
    )


def shortened(
    slots: Mapping[str, Slots],
    kind_of: np.ndarray,
    config: Config,
    memory: MemorySettings,
    whole: Container[int],
) -> tuple[dict[str, Slots], list[Streak]]:
    """The program with fewer iterations of long nests, and what each nest must hold for that.

    Parameters
    ----------
    kind_of : number of each instruction's kind (``repetition.kinds_of``)
    whole : instructions of which nothing is left out
    """
    kinds = ("nfu", *_KINDS)
    made = dict(slots)
    for kind in kinds:
        counts = {name: values.copy() for name, values in slots[kind].fields.items()
                  if "count" in name}  # fmt: skip
        made[kind] = replace(slots[kind], fields={**slots[kind].fields, **counts})
    place = {kind: {owner: n for n, owner in enumerate(slots[kind].owners.tolist())}
             for kind in kinds}  # fmt: skip
    cuts: dict[int, _Cut | None] = {}
    streaks = []
    for owner in slots["nfu"].owners.tolist():
        at = {kind: place[kind][owner] for kind in kinds if owner in place[kind]}
        kind = int(kind_of[owner])
        if kind not in cuts:
            fields = {kind: {name: int(values[n]) for name, values in slots[kind].fields.items()}
                      for kind, n in at.items()}  # fmt: skip
            cuts[kind] = _cut(fields, config, memory)
        cut = None if owner in whole else cuts[kind]
        for changed, (name, count) in cut.counts.items() if cut else ():
            made[changed].fields[name][at[changed]] = count
        streaks.append(cut.streak if cut else Streak())
    return made, streaks


def _cut(
    fields: Mapping[str, dict[str, int]], config: Config, memory: MemorySettings
) -> _Cut | None:
    """What can be left out of a nest, from the fields of the slots of its instruction."""
    loop = _outermost(fields["nfu"])
    if loop is None:
        return None
    lead = -(-_ROUND_TRIPS * (memory.latency + _PATH) // loop.steps)
    if loop.moved["nbin"] and "nbin" in fields:
        lanes = config.nbin_port // config.width
        word = min(lanes, fields["nbin"]["descriptor.run"] // config.element_bytes)
        held = config.nbin_elements + config.nbin_fifo * word
        lead = max(lead, 1 + -(-held // loop.moved["nbin"]))
    kept = 2 * lead + WATCHED
    if kept >= loop.count:
        return None
    counts = {"nfu": (f"levels[{loop.level}].count", kept)}
    ports = {"nbin": config.nbin_port, "sb": config.sb_port, "nbout": config.nbout_port}
    busy, moved = [], 0
    for kind, amount in loop.moved.items():
        if not amount:
            # Rows of a sum over all iterations are finished, and stored, in the last one.
            if kind in fields and kind != "nbout":
                return None
            continue
        if kind not in fields:
            return None
        n, inner, most = _windows(fields[kind])
        size = fields[kind]["descriptor.run"]
        row = config.tn * config.element_bytes
        unit = {"nbin": size // config.element_bytes, "sb": 1, "nbout": -(-size // row)}[kind]
        windows, rest = divmod(amount, inner * unit)
        count = most - (loop.count - kept) * windows
        if rest or count < 1:
            return None
        counts[kind] = f"descriptor.count[{n}]", count
        # Runs that begin anywhere may touch a beat more; short bursts wait for those in flight.
        width = ports[kind] // 8
        strides = [fields[kind][f"descriptor.stride[{n}]"] for n in range(_LOOPS)]
        step = gcd(fields[kind]["descriptor.address"], *strides)
        anywhere = step % width and (step % size or width % size)
        beats = -(-size // width) + bool(anywhere)
        bursts = -(-beats // config.burst)
        runs = windows * inner
        busy.append(runs * max(beats, bursts * (memory.latency + _FLIGHT) / config.outstanding))
        moved += runs * beats * width
    slowest = sum(busy) if config.shared_port else max(busy, default=0)
    if max(slowest, moved / memory.bandwidth) > loop.steps:
        return None
    return _Cut(loop, lead, counts)


def _outermost(nest: Mapping[str, int]) -> _Loop | None:
    """The outermost loop of a nest that reads neurons; None if it has none."""
    counts = [nest[f"levels[{n}].count"] for n in range(LEVELS)]
    level = max((n for n in range(LEVELS) if counts[n] > 1), default=0)
    if counts[level] == 1 or Op(nest["op"]) not in ACTIVE:
        return None
    inner = counts[:level]

    def freed(name: str) -> int:
        by_inner = sum(
            (count - 1) * prod(inner[n + 1 :]) * nest[f"levels[{n}].{name}"]
            for n, count in enumerate(inner)
        )
        return by_inner + nest[f"levels[{level}].{name}"]

    rows = 0
    if NfuOut(nest["target"]) == NfuOut.NFU3 and not nest["reduce"] >> level & 1:
        rows = prod(count for n, count in enumerate(inner) if not nest["reduce"] >> n & 1)
    moved = {"nbin": freed("nbin_free"), "sb": freed("sb_free"), "nbout": rows}
    return _Loop(level, counts[level], prod(inner), moved)


def _windows(slot: Mapping[str, int]) -> tuple[int, int, int]:
    """The outermost loop of a descriptor, the runs in an iteration of it, and its count."""
    counts = [slot[f"descriptor.count[{n}]"] for n in range(_LOOPS)]
    n = max((n for n in range(_LOOPS) if counts[n] > 1), default=0)
    return n, prod(counts[:n]), counts[n]
