"""What each unit of the core did when, as a trace for Perfetto and chrome://tracing.

Made from the core's output ``events`` (``hw.diannao.events``) and the program: the slots of a unit
begin and are done in the program's order, so counting tells which slot an event belongs to.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from amaranth.lib import data

from hw.diannao.events import Events, SlotEvents, Stall
from hw.diannao.words import Slots, columns
from hw.nfu.layouts import Op

from .program import Program

__all__ = ["Timeline"]

_UNITS = {"nbin": "NBin DMA", "sb": "SB DMA", "nfu": "NFU", "nbout": "NBout DMA"}
"""The tracks, from top to bottom."""
_WAITS = {
    Stall.NBIN: "waits for NBin",
    Stall.SB: "waits for SB",
    Stall.NBOUT: "waits for NBout",
    Stall.STORE: "waits for a store",
    Stall.INSTRUCTION: "waits for an instruction",
}
_EVENTS = data.Layout.cast(Events)


def _field(moments: np.ndarray, name: str, part: str | None = None) -> np.ndarray:
    """A field of ``events``, or a part of it, in all moments."""
    field = _EVENTS[name]
    offset, width = field.offset, field.width
    if part is not None:
        inner = data.Layout.cast(SlotEvents)[part]
        offset, width = offset + inner.offset, inner.width
    return moments["events"] >> np.uint64(offset) & np.uint64((1 << width) - 1)


class Timeline:
    """Collects runs, one after the other.

    Time is in clock cycles; the trace format counts in microseconds, so one stands for a cycle.

    Parameters
    ----------
    first : cycle before which nothing is of interest
    """

    def __init__(self, first: int = 0):
        self._first = first
        self._events: list[dict[str, Any]] = []

    def add(self, program: Program, moments: np.ndarray) -> None:
        """Add a run of ``program``.

        Parameters
        ----------
        moments : ``cycle`` and ``events`` of each cycle of the run with a pulse or a change, from
            the start of the program on; they may end before it does, or be missing
        """
        if not len(moments):
            return
        slots = columns(program.words)
        found = list(_waits(list(_UNITS).index("nfu"), moments))
        for track, unit in enumerate(_UNITS):
            found += _slices(program, slots, unit, track, moments)
        self._events += (event for event in found if event["ts"] + event["dur"] > self._first)

    def to_json(self) -> dict[str, Any]:
        """The trace: "complete" events of one process with a thread for each unit."""
        names = [_metadata("process_name", 0, "core (1 us is one clock cycle)")]
        for track, name in enumerate(_UNITS.values()):
            names.append(_metadata("thread_name", track, name))
            names.append(_metadata("thread_sort_index", track, None))
        # Enclosing slices first, as the viewers want it.
        events = sorted(self._events, key=lambda event: (event["tid"], event["ts"], -event["dur"]))
        return {"traceEvents": names + events, "displayTimeUnit": "ms"}


def _metadata(kind: str, track: int, name: str | None) -> dict[str, Any]:
    arguments = {"sort_index": track} if name is None else {"name": name}
    return {"ph": "M", "pid": 0, "tid": track, "name": kind, "args": arguments}


def _slice(track: int, name: str, start: int, end: int, **arguments: Any) -> dict[str, Any]:
    return {"ph": "X", "pid": 0, "tid": track, "name": name, "ts": start, "dur": end - start,
            "args": arguments}  # fmt: skip


def _slices(
    program: Program, slots: dict[str, Slots], unit: str, track: int, moments: np.ndarray
) -> Iterator[dict[str, Any]]:
    """A slice for each slot: from when the unit turned to it to when it was through with it.

    A unit takes slots ahead, so that the memory always has something to do; a slot's turn comes
    when the one before is done. ``taken`` says when the unit took it from its queue.
    """
    cycles = moments["cycle"].astype(np.int64)
    taken = cycles[_field(moments, unit, "begin") == 1] + 1
    done = cycles[_field(moments, unit, "done") == 1] + 1
    tags = slots["cp"].fields["tag"]
    lengths = np.zeros(len(tags), dtype=np.int64)
    for kind in slots.values():
        lengths[kind.owners] += 8 * kind.words.shape[1]
    offsets = np.cumsum(lengths) - lengths
    end = 0
    for n, (begin, finished) in enumerate(zip(taken.tolist(), done.tolist(), strict=False)):
        owner = int(slots[unit].owners[n])
        tag = int(tags[owner])
        layer = program.layers[tag].name if tag in program.layers else f"tag {tag}"
        what, details = _describe(slots[unit].fields, unit, n)
        yield _slice(
            track, f"{what} {layer}", max(begin, end), finished, **details, taken=begin,
            instruction=owner, offset=int(offsets[owner]),
        )  # fmt: skip
        end = finished


def _describe(fields: dict[str, np.ndarray], unit: str, n: int) -> tuple[str, dict[str, int]]:
    """What a slot does in a word, and in numbers."""
    if unit == "nfu":
        steps = prod(int(fields[name][n]) for name in fields if name.endswith("].count"))
        return Op(int(fields["op"][n])).name, {"steps": steps}
    runs = prod(int(fields[f"descriptor.count[{level}]"][n]) for level in range(3))
    run = int(fields["descriptor.run"][n])
    numbers = {"address": int(fields["descriptor.address"][n]), "runs": runs, "bytes": runs * run}
    return ("store" if unit == "nbout" else "load"), numbers


def _waits(track: int, moments: np.ndarray) -> Iterator[dict[str, Any]]:
    """A slice for each time that the NFU did no step."""
    stall = _field(moments, "stall")
    changes = np.flatnonzero(np.diff(stall, prepend=stall[:1] ^ np.uint64(1)))
    cycles = moments["cycle"].astype(np.int64).tolist()
    ends = [*(cycles[n] for n in changes[1:]), cycles[-1] + 1]
    for n, end in zip(changes.tolist(), ends, strict=True):
        cause = Stall(int(stall[n]))
        if cause in _WAITS:
            yield _slice(track, _WAITS[cause], cycles[n], end)
