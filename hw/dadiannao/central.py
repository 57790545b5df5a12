"""The two central memories (paper, section V.B.3: input and output neurons)."""

from typing import Any

from amaranth.hdl import Cat, Module, ResetInserter, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.streams import Queue
from ..mesh.round_robin import RoundRobin
from .config import NodeConfig
from .edram import Edram
from .layouts import CentralRowLayout, CentralWriteLayout

__all__ = ["Central"]


class Central(wiring.Component):
    """Both central memories and the paths to them.

    ::

        read[n] --> bank of the address --+--> eDRAM --+--> queue --> row[n]
        write[n] -> bank of the address --+

    Each memory is made of ``central_banks`` banks of eDRAM, in which its rows lie in turns. A bank
    does one thing at a time; who comes to a bank that is busy, or serves another one, waits.
    Requests to the same bank are served in turns. All users move one row per cycle as long as they
    meet on different banks, which they do when their addresses run along the rows.

    A reader's rows come in the order of its requests, ``central_latency`` cycles and 2 for the
    queue after them. A read that is accepted after a write of the same row sees it.

    Parameters
    ----------
    config : of the node
    readers, writers : users

    Members
    -------
    read : In(stream(CentralRowLayout)).array(readers)
    row : Out(stream(row_bits)).array(readers)
    write : In(stream(CentralWriteLayout)).array(writers)
    clear : In(1), forget all reads that are on their way; the rows stay in memory
    idle : Out(1), no bank is busy
    """

    read: Any
    row: Any
    write: Any
    clear: Signal
    idle: Signal

    def __init__(self, *, config: NodeConfig, readers: int, writers: int):
        self._config = config
        self._readers = readers
        self._writers = writers
        super().__init__(
            {
                "read": In(stream.Signature(CentralRowLayout(config))).array(readers),
                "row": Out(stream.Signature(unsigned(config.row_bits))).array(readers),
                "write": In(stream.Signature(CentralWriteLayout(config))).array(writers),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        count = 2 * config.central_banks
        low = config.central_banks.bit_length() - 1
        users = [*self.read, *self.write]

        # Which bank each user wants, and whether it may go there.
        wants: list[Signal] = []
        for n, user in enumerate(users):
            place = user.payload if n < self._readers else user.payload.place
            want = Signal(count, name=f"wants_{n}")
            m.d.comb += want.eq(1 << Cat(place.address[:low], place.bank))
            wants.append(want)
        room = [Signal(name=f"room_{n}") for n in range(self._readers)]
        asks = [user.valid & (room[n] if n < self._readers else 1) for n, user in enumerate(users)]

        # The banks; ``origin`` remembers whose row comes out of them.
        grants, rows = [], []
        banks = []
        for b in range(count):
            bank = Edram(
                rows=config.central_rows // config.central_banks,
                width=config.row_bits,
                latency=config.central_latency,
                restore=config.central_restore,
                refresh_interval=config.refresh_interval,
                memory=config.memory,
            )
            m.submodules[f"bank_{b}"] = bank
            m.submodules[f"turns_{b}"] = turns = RoundRobin(len(users))
            request = bank.request
            m.d.comb += [
                turns.requests.eq(Cat(a & w[b] for a, w in zip(asks, wants, strict=True))),
                turns.served.eq(request.ready),
                request.valid.eq(turns.requests.any()),
            ]
            for n, user in enumerate(users):
                with m.If(turns.grant[n]):
                    if n < self._readers:
                        m.d.comb += request.payload.row.eq(user.payload.address[low:])
                    else:
                        m.d.comb += [
                            request.payload.row.eq(user.payload.place.address[low:]),
                            request.payload.data.eq(user.payload.data),
                            request.payload.write.eq(1),
                        ]
            origin = Signal(self._readers * config.central_latency, name=f"origin_{b}")
            accepted = turns.grant[: self._readers] & request.ready.replicate(self._readers)
            m.d.sync += origin.eq(Cat(accepted, origin))
            with m.If(self.clear):
                m.d.sync += origin.eq(0)
            banks.append(bank)
            rows.append(origin[-self._readers :])
            grants.append(turns.grant & request.ready.replicate(len(users)))
        for n, user in enumerate(users):
            m.d.comb += user.ready.eq(Cat(grant[n] for grant in grants).any())
        m.d.comb += self.idle.eq(~Cat(bank.busy for bank in banks).any())

        # Rows come to a reader in order, since all banks take equally long; they wait in a queue
        # that has room for all that are on their way.
        depth = config.central_latency + 4
        for n, (read, row) in enumerate(zip(self.read, self.row, strict=True)):
            queue = Queue(shape=unsigned(config.row_bits), depth=depth)
            m.submodules[f"rows_{n}"] = ResetInserter(self.clear)(queue)
            for bank, origin in zip(banks, rows, strict=True):
                with m.If(origin[n]):
                    m.d.comb += [queue.i.valid.eq(1), queue.i.payload.eq(bank.data)]
            connect(m, queue.o, flipped(row))
            claimed = Signal(range(depth + 1), name=f"claimed_{n}")
            m.d.comb += room[n].eq(claimed != depth)
            m.d.sync += claimed.eq(claimed + (read.valid & read.ready) - (row.valid & row.ready))
            with m.If(self.clear):
                m.d.sync += claimed.eq(0)
        return m
