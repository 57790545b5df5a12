"""When a nest meets new data, frees old data and finishes outputs, by step."""

from dataclasses import dataclass

import numpy as np

from hw.diannao.isa import LEVELS, NfuOut
from hw.nfu.layouts import Op

__all__ = ["ACTIVE", "Demand", "NestEvents", "Release", "nest_events"]

ACTIVE = (Op.MAC, Op.MAX, Op.SUM)
"""What reads neurons."""


@dataclass(frozen=True)
class Demand:
    """Steps that need more of a ring than all steps before.

    Parameters
    ----------
    step : their numbers, rising
    needed : entries that must have arrived, counted from the tail at the start of the nest
    """

    step: np.ndarray
    needed: np.ndarray

    def before(self, steps: np.ndarray) -> np.ndarray:
        """How many of these steps come no later than each of ``steps``."""
        return np.searchsorted(self.step, steps, "right")


@dataclass(frozen=True)
class Release:
    """Steps that free a part of a ring.

    Parameters
    ----------
    step : their numbers, rising
    freed : entries freed by the nest up to and with the step
    nbin, sb : how many steps of the demands on NBin and SB come no later
    """

    step: np.ndarray
    freed: np.ndarray
    nbin: np.ndarray
    sb: np.ndarray

    @property
    def total(self) -> int:
        """All that the nest frees."""
        return int(self.freed[-1]) if len(self.freed) else 0


@dataclass(frozen=True)
class NestEvents:
    """What matters of a nest for its timing.

    Parameters
    ----------
    steps : how many steps it has
    active : whether they count as active (MAC, MAX, SUM)
    nbin, sb : what it waits for
    nbin_free, sb_free : what it frees
    outputs : steps that finish a row of outputs (``freed`` counts them)
    tables : steps that load a row of the activation table
    sb_earlier : how many demands on NBin come before each of those on SB
    nbin_later : how many demands on SB come no later than each of those on NBin
    """

    steps: int
    active: bool
    nbin: Demand
    sb: Demand
    nbin_free: Release
    sb_free: Release
    outputs: Release
    tables: Release
    sb_earlier: np.ndarray
    nbin_later: np.ndarray


def nest_events(fields: dict[str, int], ti: int) -> NestEvents:
    """Events of the nest of an NFU slot with these values in its fields."""
    counts = [fields[f"levels[{n}].count"] for n in range(LEVELS)]
    steps = int(np.prod(counts))
    op = Op(fields["op"])
    # The level that advances after each step: the innermost that is not at its end; LEVELS after
    # the last step.
    level_of = np.zeros(steps, dtype=np.int8)
    period = 1
    for n, count in enumerate(counts):
        period *= count
        level_of[period - 1 :: period] = n + 1

    def freed(name: str) -> np.ndarray:
        amounts = [fields[f"levels[{n}].{name}"] for n in range(LEVELS)] + [fields[name]]
        return np.cumsum(np.array(amounts)[level_of])

    def position(name: str) -> np.ndarray:
        moves = [fields[f"levels[{n}].{name}_step"] for n in range(LEVELS)] + [0]
        path = np.cumsum(np.array(moves)[level_of])
        path[1:] = path[:-1]
        path[0] = 0
        return fields[name] + path

    nbin_freed, sb_freed = freed("nbin_free"), freed("sb_free")
    nbin = nbin_freed
    if op in ACTIVE:
        nbin = np.maximum(nbin, position("nbin") + ti)
    sb = sb_freed
    if op in (Op.MAC, Op.BIAS, Op.TABLE):
        sb = np.maximum(sb, position("sb") + 1)
    nbin_demand, sb_demand = _demand(nbin), _demand(sb)

    def release(chosen: np.ndarray, total: np.ndarray) -> Release:
        at = np.flatnonzero(chosen)
        return Release(at, total[at], nbin_demand.before(at), sb_demand.before(at))

    finishing = np.zeros(steps, dtype=bool)
    if op in ACTIVE and NfuOut(fields["target"]) == NfuOut.NFU3:
        finishing[:] = True
        period = 1
        for n, count in enumerate(counts):
            if fields["reduce"] >> n & 1:
                finishing &= np.arange(steps) // period % count == count - 1
            period *= count
    loading = np.full(steps, op == Op.TABLE)
    return NestEvents(
        steps=steps,
        active=op in ACTIVE,
        nbin=nbin_demand,
        sb=sb_demand,
        nbin_free=release(np.diff(nbin_freed, prepend=0) > 0, nbin_freed),
        sb_free=release(np.diff(sb_freed, prepend=0) > 0, sb_freed),
        outputs=release(finishing, np.cumsum(finishing)),
        tables=release(loading, np.cumsum(loading)),
        sb_earlier=np.searchsorted(nbin_demand.step, sb_demand.step, "left"),
        nbin_later=sb_demand.before(nbin_demand.step),
    )


def _demand(needed: np.ndarray) -> Demand:
    """Of what each step needs, what is more than before."""
    highest = np.maximum.accumulate(needed)
    step = np.flatnonzero(np.diff(highest, prepend=0) > 0)
    return Demand(step, highest[step])
