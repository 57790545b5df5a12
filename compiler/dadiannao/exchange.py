"""What nodes send each other: parts of a tensor that another node made.

A node counts the rows that come from each other node, which come in the order in which that one
sends them; so it knows what is there. It computes with what it has while the rest is on its way.

Rows are sent to where nothing else is. What a node has given up is not used again before all nodes
have met: a node that is behind would still read it when rows of one that is ahead come in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hw.dadiannao.assembler import NO_RUNS, CopyLoop, Load, RowLoop, Send, copy_levels, row_levels
from hw.dadiannao.isa import LoadOp

from .areas import Share
from .emitter import Arrival, Emitter
from .gathering import Hop, hops
from .maps import CentralMap

__all__ = ["Exchange", "Parcel", "Step"]


@dataclass(frozen=True)
class Parcel:
    """What goes from one node to another."""

    sender: int
    receiver: int
    share: Share


@dataclass
class Step:
    """Something a node has got of what all nodes gather, and passes on.

    Parameters
    ----------
    share : what, if it can be worked on
    arrival : that brings it; None for the node's own
    waits : arrivals that ``sends`` need beyond that
    sends : to neighbours
    """

    share: Share | None
    arrival: Arrival | None = None
    waits: list[Arrival] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)


class Exchange:
    """Exchanges among the nodes whose programs ``emitters`` collect.

    Parameters
    ----------
    emitters : one per node
    mesh : its rows and columns
    token : two rows of bank 0 that nothing else uses, in all nodes, one to send and one to receive
    """

    def __init__(self, emitters: list[Emitter], mesh: tuple[int, int], token: int):
        self._emitters = emitters
        self._mesh = mesh
        self._token = token
        for emitter in emitters if len(emitters) > 1 else []:
            emitter.emit(
                load=Load(
                    NO_RUNS, LoadOp.CLEAR, bank=0, address=token,
                    levels=row_levels([RowLoop(count=1)]),
                )
            )  # fmt: skip
            emitter.fence()

    def send(self, parcels: list[Parcel], maps: list[CentralMap | None]) -> None:
        """Send parcels; ``maps`` is where the tensor lies in each node. A fence is behind it."""
        for parcel in parcels:
            source, target = maps[parcel.sender], maps[parcel.receiver]
            assert source is not None
            assert target is not None
            self._emitters[parcel.sender].emit(send=_slot(parcel, source, target, None))
            rows = source.batch * parcel.share.size
            self._emitters[parcel.receiver].expect(parcel.sender, rows)

    def gather(self, shares: list[Share], maps: list[CentralMap | None]) -> list[list[Step]]:
        """Bring ``shares``, of each node, to all nodes: the steps of every node, in order."""
        columns = self._mesh[1]
        steps: list[dict[tuple[int, ...], Step]] = []
        for node, share in enumerate(shares):
            steps.append({(node,): Step(None if share.empty else share)})
        every = hops(*self._mesh)
        along = [hop for hop in every if hop.sender // columns == hop.receiver // columns]
        self._hop(along, shares, maps, steps)
        # What a row of nodes has together goes on from each of them.
        result = [list(mine.values()) for mine in steps]
        across = every[len(along) :]
        begin: list[dict[tuple[int, ...], Step]] = [{} for _ in shares]
        for sender, _, origins in across:
            if sender // columns == origins[0] // columns:
                waits = [
                    steps[sender][node,].arrival for node in origins if (node,) in steps[sender]
                ]
                begin[sender][origins] = Step(None, waits=[each for each in waits if each])
        self._hop(across, shares, maps, begin)
        return [[*first, *then.values()] for first, then in zip(result, begin, strict=True)]

    def _hop(
        self,
        hops: Sequence[Hop],
        shares: list[Share],
        maps: list[CentralMap | None],
        steps: list[dict[tuple[int, ...], Step]],
    ) -> None:
        """Do some hops: what ``steps`` have by origin goes on, and brings new ones."""
        for sender, receiver, origins in hops:
            share = Share.around(shares[node] for node in origins)
            if share.empty:
                continue
            source, target = maps[sender], maps[receiver]
            assert source is not None
            assert target is not None
            step = steps[sender][origins]
            step.sends.append(_slot(Parcel(sender, receiver, share), source, target, step.arrival))
            arrival = self._emitters[receiver].expect(sender, source.batch * share.size)
            steps[receiver][origins] = Step(share, arrival)

    def pass_on(self, steps: list[list[Step]]) -> None:
        """Send all that ``steps`` say."""
        for emitter, mine in zip(self._emitters, steps, strict=True):
            for step in mine:
                emitter.pass_on(step.waits, step.sends)

    def meet(self) -> None:
        """Everybody has got everything, and knows that everybody else has."""
        first, *others = self._emitters
        for number, emitter in enumerate(others, start=1):
            emitter.pass_on(emitter.arrived(), [self._token_to(0)])
            first.expect(number, 1)
        first.pass_on(first.arrived(), [self._token_to(n) for n in range(1, len(others) + 1)])
        for emitter in others:
            emitter.expect(0, 1)
            emitter.pass_on(emitter.arrived(), [])
        for emitter in self._emitters:
            emitter.fence()

    def _token_to(self, node: int) -> Send:
        return Send(
            node=node, address=self._token, to_address=self._token + 1,
            levels=copy_levels([CopyLoop(count=1)]),
        )  # fmt: skip


def _slot(
    parcel: Parcel, source: CentralMap, target: CentralMap, arrival: Arrival | None
) -> Send:  # fmt: skip
    (rows, columns), blocks = parcel.share
    loops = [
        CopyLoop(count=len(blocks), rows=1, to=1),
        CopyLoop(count=len(columns), rows=source.pitch, to=target.pitch),
    ]
    if source.pitch == target.pitch == len(blocks):
        # A whole row of pixels is one packet.
        loops = [CopyLoop(count=len(columns) * len(blocks), rows=1, to=1)]
    loops += [
        CopyLoop(count=len(rows), rows=source.row_pitch, to=target.row_pitch),
        CopyLoop(count=source.batch, rows=source.image_pitch, to=target.image_pitch),
    ]
    node, count = arrival or (0, 0)
    return Send(
        bank=source.bank, to_bank=target.bank, node=parcel.receiver, source=node, arrivals=count,
        address=source.at(0, rows.start, columns.start, blocks.start),
        to_address=target.at(0, rows.start, columns.start, blocks.start),
        levels=copy_levels(loops),
    )  # fmt: skip
