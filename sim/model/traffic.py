"""What the DMAs make of descriptors: bursts, beats and words, for all slots of a program."""

from dataclasses import dataclass

import numpy as np

from hw.bus.bursts import burst_bytes
from hw.diannao.words import Slots

__all__ = ["Bursts", "Runs", "Words", "bursts_of", "runs_of", "words_of"]


def _numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner of every member of groups of the given sizes, and its number in its group."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners, np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True)
class Runs:
    """All runs of all slots, in order.

    Parameters
    ----------
    slot : number of the slot
    address, size : bytes
    last : last run of its slot
    """

    slot: np.ndarray
    address: np.ndarray
    size: np.ndarray
    last: np.ndarray


def runs_of(slots: Slots) -> Runs:
    """The runs of load or store slots."""
    f = slots.fields
    counts = [f[f"descriptor.count[{n}]"] for n in range(3)]
    total = counts[0] * counts[1] * counts[2]
    slot, number = _numbered(total)
    address = f["descriptor.address"].astype(np.int64)[slot]
    rest = number
    for n, count in enumerate(counts):
        rest, index = np.divmod(rest, count[slot])
        address = address + index * f[f"descriptor.stride[{n}]"][slot]
    return Runs(slot, address, f["descriptor.run"][slot], number == total[slot] - 1)


@dataclass(frozen=True)
class Bursts:
    """All bursts of all runs, in order.

    Parameters
    ----------
    run : number of the run
    beats : of each burst
    bytes : of the run that each burst holds
    first : first burst of its run
    """

    run: np.ndarray
    beats: np.ndarray
    bytes: np.ndarray
    first: np.ndarray


def bursts_of(runs: Runs, port: int, limit: int) -> Bursts:
    """As hw.bus.bursts cuts runs on a port of ``port`` bits; ``limit`` is the longest, in bytes."""
    beat, size = port // 8, burst_bytes(port, limit)
    offset = runs.address % size
    pieces = (offset + runs.size - 1) // size + 1
    run, number = _numbered(pieces)
    begin = np.where(number == 0, offset[run], 0)
    last = number == pieces[run] - 1
    end = np.where(last, ((offset + runs.size - 1) % size)[run], size - 1)
    return Bursts(run, end // beat - begin // beat + 1, end - begin + 1, number == 0)


@dataclass(frozen=True)
class Words:
    """All words of all runs, in order, as hw.bus.realigner delivers them.

    Parameters
    ----------
    run : number of the run
    size : bytes
    beat : number of the beat (of all) with which the word can leave
    delay : cycles after that beat
    last : last word of its run
    """

    run: np.ndarray
    size: np.ndarray
    beat: np.ndarray
    delay: np.ndarray
    last: np.ndarray


def words_of(runs: Runs, port: int) -> Words:
    """The words that the runs make on a port of ``port`` bits."""
    width = port // 8
    start = runs.address % width
    beats = (start + runs.size - 1) // width + 1
    first_beat = np.cumsum(beats) - beats
    counts = -(-runs.size // width)
    run, number = _numbered(counts)
    # A word of two beats leaves with the second; one that is held as a whole a cycle after it.
    alone = (start[run] == 0) | (number == beats[run] - 1)
    return Words(
        run,
        np.minimum(width, runs.size[run] - number * width),
        first_beat[run] + number + ~alone,
        alone.astype(np.int64),
        number == counts[run] - 1,
    )
