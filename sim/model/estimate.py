"""The performance model: cycles, stalls and traffic of a program, without RTL."""

from dataclasses import dataclass

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import columns

from ..execution import Activity
from ..memory import MemorySettings
from ..program import Program
from .control import ControlProcessor
from .loaders import NbinLoader, SbLoader
from .nfu import Nfu, distinct_nests
from .outputs import OutputRing
from .queue import SlotQueue
from .store import StoreUnit
from .traffic import runs_of

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a program would take on a core.

    Parameters
    ----------
    cycles : from start to end (the core's counter CYCLES)
    active : NFU steps of MAC, MAX and SUM
    stalls : cycles without a step by cause, the lower-case names of ``hw.diannao.events.Stall``
    bytes : useful bytes by stream
    layers : the same by tag
    """

    cycles: int
    active: int
    stalls: dict[str, int]
    bytes: dict[str, int]
    layers: dict[int, Activity]


def estimate(
    program: Program, config: Config | None = None, memory: MemorySettings | None = None
) -> Estimate:
    """Predict what ``program`` takes on a core of ``config`` with ``memory``."""
    config = config or program.config
    memory = memory or MemorySettings()
    run = _Run(program, config, memory)
    return run.finish()


class _Run:
    def __init__(self, program: Program, config: Config, memory: MemorySettings):
        slots = columns(program.words)
        self._slots = slots
        self._tags = slots["cp"].fields["tag"]
        queues = {kind: SlotQueue(config.queue + 1) for kind in slots if kind != "cp"}
        nests = distinct_nests(slots["nfu"], config.ti)
        distinct, number = nests
        rows = sum(len(distinct[n].outputs.step) for n in number.tolist())
        frees = sum(len(distinct[n].nbin_free.step) for n in number.tolist())
        latency = memory.latency
        stores = np.searchsorted(slots["nbout"].owners, slots["nbin"].owners)
        ring = OutputRing(rows, config.nbout_rows)
        self.sb = SbLoader(slots["sb"], config, latency, queues["sb"])
        self.nbin = NbinLoader(slots["nbin"], stores, config, latency, queues["nbin"], frees)
        self.store = StoreUnit(slots["nbout"], config, latency, queues["nbout"], ring)
        self.nbin.done = self.store.done
        self.nfu = Nfu(
            slots["nfu"], self._tags[slots["nfu"].owners], nests, config, queues["nfu"],
            self.nbin, self.sb, ring,
        )  # fmt: skip
        self.control = ControlProcessor(
            slots, program.address, len(program.words), config, latency, queues
        )
        units = (self.control, self.sb, self.nbin, self.nfu, self.store)
        going = True
        while going:
            going = False
            for unit in units:
                going |= unit.advance()
            going = going or self.nbin.relent()

    def finish(self) -> Estimate:
        """Put together what the units have counted."""
        ended = self.control.ended
        if ended is None or not self.nfu.done or not self.store.finished:
            raise ValueError("the program never ends")
        drained = max(
            ended + 1,
            int(self.control.port.beat[-1]) + 1,
            self.nfu.last + 1,
            self.store.done[-1] + 1 if self.store.done else 0,
        )
        cycles = drained + 1
        stalls = self.nfu.stalls
        stalls[self.nfu.tag]["instruction"] += cycles - self.nfu.last
        traffic = {}
        layers: dict[int, Activity] = {}

        def layer(tag: int) -> Activity:
            return layers.setdefault(tag, Activity())

        for tag in {*self.nfu.active, *self.nfu.parameters, *stalls}:
            entry = layer(tag)
            entry.active = self.nfu.active[tag]
            entry.stalls = dict(stalls[tag])
            entry.cycles = entry.active + self.nfu.parameters[tag] + sum(entry.stalls.values())
        for stream in ("nbin", "sb", "nbout"):
            slots = self._slots[stream]
            runs = runs_of(slots)
            tags = self._tags[slots.owners][runs.slot]
            for tag in np.unique(tags).tolist():
                layer(tag).bytes[stream] = int(runs.size[tags == tag].sum())
            traffic[stream] = int(runs.size.sum())
        traffic["cp"] = int(self.control.bytes)
        total: dict[str, int] = {}
        for entry in layers.values():
            for cause, count in entry.stalls.items():
                total[cause] = total.get(cause, 0) + count
        return Estimate(cycles, sum(self.nfu.active.values()), total, traffic, layers)
