"""What nodes send each other: parts of a tensor that another node made.

Rows that arrive are counted, and that is all a node knows of them. So that no row of an exchange is
taken for one of the exchange before it, all nodes meet behind each but the last one: node 0 tells
the others when it has everything, they answer when they have everything, too, and go on when node 0
has all answers. Nothing else can arrive before each of these counts is complete.
"""

from dataclasses import dataclass

from hw.dadiannao.assembler import NO_RUNS, CopyLoop, Load, RowLoop, Send, copy_levels, row_levels
from hw.dadiannao.isa import LoadOp

from .emitter import Emitter
from .maps import CentralMap

__all__ = ["Exchange", "Parcel"]


@dataclass(frozen=True)
class Parcel:
    """Pixels and blocks that go from one node to another; first and last but one each."""

    sender: int
    receiver: int
    first_row: int
    end_row: int
    first_block: int
    end_block: int


class Exchange:
    """Exchanges among the nodes whose programs ``emitters`` collect.

    Parameters
    ----------
    emitters : one per node
    token : two rows of bank 0 that nothing else uses, in all nodes: one to send, one to receive
    count : of exchanges to come
    """

    def __init__(self, emitters: list[Emitter], token: int, count: int):
        self._emitters = emitters
        self._token = token
        self._left = count

    def prepare(self) -> None:
        """Make the row that is sent as a token."""
        for emitter in self._emitters:
            emitter.emit(
                load=Load(
                    NO_RUNS, LoadOp.CLEAR, bank=0, address=self._token,
                    levels=row_levels([RowLoop(count=1)]),
                )
            )  # fmt: skip

    @property
    def any_left(self) -> bool:
        """Whether there are exchanges to come."""
        return self._left > 0

    def send(self, parcels: list[Parcel], maps: list[CentralMap | None]) -> bool:
        """Send what every node has just made; ``maps`` is where the tensor lies in each node.

        Returns whether the nodes meet: then all have done everything up to here.
        """
        if not parcels:
            return False
        for emitter in self._emitters:
            emitter.fence()
        for parcel in parcels:
            source, target = maps[parcel.sender], maps[parcel.receiver]
            assert source is not None
            assert target is not None
            emitter = self._emitters[parcel.sender]
            emitter.emit(send=_slot(parcel, source, target, emitter.arrivals))
        for parcel in parcels:
            where = maps[parcel.receiver]
            assert where is not None
            rows = where.batch * (parcel.end_row - parcel.first_row) * where.width
            rows *= parcel.end_block - parcel.first_block
            self._emitters[parcel.receiver].arrivals += rows
        self._left -= 1
        if self._left:
            self._meet()
        return self._left > 0

    def _meet(self) -> None:
        """Everybody has got everything, and knows that everybody else has."""
        first, *others = self._emitters
        for number, emitter in enumerate(others, start=1):
            first.emit(send=self._token_to(number, first.arrivals))
            emitter.arrivals += 1
            emitter.emit(send=self._token_to(0, emitter.arrivals))
        first.arrivals += len(others)
        for number, emitter in enumerate(others, start=1):
            first.emit(send=self._token_to(number, first.arrivals))
            emitter.arrivals += 1

    def _token_to(self, node: int, arrivals: int) -> Send:
        return Send(
            node=node, address=self._token, to_address=self._token + 1, arrivals=arrivals,
            levels=copy_levels([CopyLoop(count=1)]),
        )  # fmt: skip


def _slot(parcel: Parcel, source: CentralMap, target: CentralMap, arrivals: int) -> Send:
    blocks = parcel.end_block - parcel.first_block
    loops = [
        CopyLoop(count=blocks, rows=1, to=1),
        CopyLoop(count=source.width, rows=source.pitch, to=target.pitch),
    ]
    if source.pitch == target.pitch == blocks:
        # A whole row of pixels is one packet.
        loops = [CopyLoop(count=source.width * blocks, rows=1, to=1)]
    height = parcel.end_row - parcel.first_row
    loops += [
        CopyLoop(count=height, rows=source.row_pitch, to=target.row_pitch),
        CopyLoop(count=source.batch, rows=source.image_pitch, to=target.image_pitch),
    ]
    return Send(
        bank=source.bank, to_bank=target.bank, node=parcel.receiver, arrivals=arrivals,
        address=source.at(0, parcel.first_row, 0, parcel.first_block),
        to_address=target.at(0, parcel.first_row, 0, parcel.first_block),
        levels=copy_levels(loops),
    )  # fmt: skip
