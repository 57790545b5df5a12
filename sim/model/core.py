"""The units of a core, connected."""

from collections.abc import Mapping

import numpy as np

from hw.diannao.config import Config
from hw.diannao.words import Slots

from ..memory import MemorySettings
from ..ports import memory_ports
from .control import ControlProcessor
from .loaders import NbinLoader, SbLoader
from .memory import Memory, ReadChannel, SharedReadChannel, WriteChannel
from .nfu import Nfu, distinct_nests
from .outputs import OutputRing
from .queue import NestPlaces, SlotQueue
from .store import StoreUnit
from .streak import Streak

__all__ = ["Core"]


class Core:
    """A core that runs the program of ``slots`` at ``address``.

    Each unit knows the times of what it has done. In turns they go on as far as they can with what
    is known of the others, many bursts, rows or steps at once; what they hand to one another are
    times. Only a memory without bandwidth to spare is followed beat by beat.

    Parameters
    ----------
    slots : the program, by kind
    words : its length, up to its END
    address : its first byte
    config : core
    settings : memory
    streaks : what to watch of each nest

    Members
    -------
    slots : as given
    cycles : from start to end
    nfu, sb, nbin, store : the units

    Raises
    ------
    ValueError
        If the program never ends.
    """

    def __init__(
        self,
        slots: Mapping[str, Slots],
        words: int,
        address: int,
        config: Config,
        settings: MemorySettings,
        streaks: list[Streak],
    ):
        self.slots = slots
        queues = {kind: SlotQueue(config.queue + 1) for kind in ("sb", "nbin", "nbout")}
        places = NestPlaces(config.queue + 2)
        distinct, number = distinct_nests(slots["nfu"], config.ti)
        nests = [distinct[n] for n in number.tolist()]
        rows = sum(len(nest.outputs.step) for nest in nests)
        frees = sum(len(nest.nbin_free.step) for nest in nests)
        stores = np.searchsorted(slots["nbout"].owners, slots["nbin"].owners)

        ports = memory_ports(config)
        alone = not config.shared_port and sum(p.width for p in ports) <= 8 * settings.bandwidth
        latency = settings.latency if alone else None
        self.control = ControlProcessor(
            slots, address, words, config, latency, {**queues, "nfu": places}
        )
        self.sb = SbLoader(slots["sb"], config, latency, queues["sb"])
        self.nbin = NbinLoader(slots["nbin"], stores, config, latency, queues["nbin"], frees)
        self._ring = ring = OutputRing(rows, config.nbout_rows)
        self.store = StoreUnit(
            slots["nbout"], config, settings.latency, queues["nbout"], ring, alone=alone
        )
        self.nbin.done = self.store.done
        self.nfu = Nfu(nests, config, places, self.nbin, self.sb, ring, streaks)

        self._latency = settings.latency
        readers = {"nbin": self.nbin.port, "sb": self.sb.port, "cp": self.control.port}
        channels: list[ReadChannel | SharedReadChannel | WriteChannel] = []
        for port in ports:
            width = port.width // 8
            shared = [readers[stream] for stream in port.streams if stream in readers]
            if port.writes:
                channels.append(WriteChannel(self.store, width))
            elif len(shared) > 1:
                channels.append(SharedReadChannel(shared, width, self._latency))
            else:
                channels.append(ReadChannel(shared[0], width, self._latency))
        self._ample = sum(channel.width for channel in channels) < 2 * settings.bandwidth
        memory = Memory(channels, settings.bandwidth, self._latency, self._no_write_before)

        units = (self.control, self.sb, self.nbin, self.nfu, self.store)
        going = True
        while going:
            going = False
            for unit in units:
                going |= unit.advance()
            going = going or self.nbin.relent() or (not alone and memory.advance())
        self.cycles = self._end() + 1

    def _end(self) -> int:
        """The cycle in which all units are idle."""
        ended = self.control.ended
        if ended is None or not self.nfu.done or not self.store.finished:
            raise ValueError("the program never ends (the interpreter can tell where it hangs)")
        return max(
            ended + 1,
            int(self.control.port.beat[-1]) + 1,
            self.nfu.last + 1,
            self.store.done[-1] + 1 if self.store.done else 0,
        )

    def _no_write_before(self, tick: int) -> int:
        """Last tick before a beat on W that is not known yet and matters, if ``tick`` is the next.

        A row takes this time from the step that finishes it, if that waits for a beat of ``tick``;
        and a store that waits for its instruction or for the responses of others takes its time.
        As long as nobody waits for a store, its beats may be looked at later, if there mostly is
        bandwidth for them.
        """
        missing = self.store.missing
        if missing > 0:
            known = tick + self.nfu.rows_away(missing) + self.nfu.pipeline + 5
        else:
            known = tick + min(10, self._latency + 4)
        if not self._ample or self.nbin.waits_for_stores or self.control.waits_for == "nbout":
            return known
        return max(known, tick + self.nfu.rows_away(self._ring.open + 1))
