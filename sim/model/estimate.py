"""The performance model: cycles, stalls and traffic of a program, without RTL."""

from dataclasses import dataclass

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import columns

from ..execution import Activity
from ..memory import MemorySettings
from ..ports import memory_ports
from ..program import Program
from .control import ControlProcessor
from .loaders import NbinLoader, SbLoader
from .memory import Memory, ReadChannel, SharedReadChannel, WriteChannel
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
    return _Run(program, config, memory).finish()


class _Run:
    """The units of a core while they run one program."""

    def __init__(self, program: Program, config: Config, settings: MemorySettings):
        slots = columns(program.words)
        self._slots = slots
        self._tags = slots["cp"].fields["tag"]
        queues = {kind: SlotQueue(config.queue + 1) for kind in slots if kind != "cp"}
        nests = distinct_nests(slots["nfu"], config.ti)
        distinct, number = nests
        rows = sum(len(distinct[n].outputs.step) for n in number.tolist())
        frees = sum(len(distinct[n].nbin_free.step) for n in number.tolist())
        stores = np.searchsorted(slots["nbout"].owners, slots["nbin"].owners)

        ports = memory_ports(config)
        alone = not config.shared_port and sum(p.width for p in ports) <= 8 * settings.bandwidth
        latency = settings.latency if alone else None
        self.control = ControlProcessor(
            slots, program.address, len(program.words), config, latency, queues
        )
        self.sb = SbLoader(slots["sb"], config, latency, queues["sb"])
        self.nbin = NbinLoader(slots["nbin"], stores, config, latency, queues["nbin"], frees)
        ring = OutputRing(rows, config.nbout_rows)
        self.store = StoreUnit(
            slots["nbout"], config, settings.latency, queues["nbout"], ring, alone=alone
        )
        self.nbin.done = self.store.done
        self.nfu = Nfu(
            slots["nfu"], self._tags[slots["nfu"].owners], nests, config, queues["nfu"],
            self.nbin, self.sb, ring,
        )  # fmt: skip
        self._latency = settings.latency
        readers = {"nbin": self.nbin.port, "sb": self.sb.port, "cp": self.control.port}
        channels = []
        for port in ports:
            width = port.width // 8
            if port.writes:
                channels.append(WriteChannel(self.store, width))
            elif len(port.streams) > 1:
                shared = [readers[stream] for stream in port.streams]
                channels.append(SharedReadChannel(shared, width, self._latency))
            else:
                channels.append(ReadChannel(readers[port.streams[0]], width, self._latency))
        self.memory = Memory(channels, settings.bandwidth, self._latency, self._no_write_before)

        units = (self.control, self.sb, self.nbin, self.nfu, self.store)
        going = True
        while going:
            going = False
            for unit in units:
                going |= unit.advance()
            going = going or self.nbin.relent() or (not alone and self.memory.advance())

    def _no_write_before(self, tick: int) -> int:
        """Last tick before a beat on W that is not known yet, if all beats before ``tick`` are.

        A row takes this time from the step that finishes it, if that waits for a beat of ``tick``;
        and a store that waits for its instruction or for the responses of others takes its time.
        """
        missing = self.store.missing
        if missing > 0:
            return tick + self.nfu.rows_away(missing) + self.nfu.pipeline + 5
        return tick + min(10, self._latency + 4)

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
