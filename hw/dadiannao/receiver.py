"""The receiver: puts rows from other nodes into the central memories."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..mesh.channel import WordLayout
from .config import NodeConfig
from .layouts import CentralWriteLayout
from .packets import HeadLayout, head_words, node_number, row_words

__all__ = ["Receiver"]


class Receiver(wiring.Component):
    """Writes the rows of packets where their heads say.

    It works whether a program runs or not, and waits for nothing but the central memory. A word per
    cycle, except that a row's last word stays until the memory takes the row.

    Parameters
    ----------
    config : of the node

    Members
    -------
    i : In(stream(hw.mesh WordLayout))
    write : Out(stream(CentralWriteLayout))
    arrived : Out(32).array(nodes), rows from each node that are written since the last reset
    """

    i: stream.Interface
    write: stream.Interface
    arrived: Any

    def __init__(self, *, config: NodeConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(WordLayout(config.mesh))),
                "write": Out(stream.Signature(CentralWriteLayout(config))),
                "arrived": Out(32).array(config.nodes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        heads, words, width = head_words(config), row_words(config), config.mesh.data_width
        word = self.i.payload
        # One counter is read, and written, per row: that of the node that the row comes from.
        source = node_number(config, word.node)
        total = Array(self.arrived)[source]

        # Words of the head, and those of a row but its last one, are kept.
        collected = Signal(heads * width, reset_less=True)
        head = HeadLayout()(Value.cast(collected)[: HeadLayout().size])
        kept = Signal(max(1, (words - 1) * width), reset_less=True)
        bank, address = Signal(), Signal(24, reset_less=True)
        step = Signal.like(Value.cast(head.step), reset_less=True)
        place = Signal(range(max(heads, words) + 1))
        with m.FSM():
            with m.State("HEAD"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        collected.eq(Cat(collected, word.data)[width:]),
                        place.eq(place + 1),
                    ]
                    with m.If(place == heads - 1):
                        m.d.sync += place.eq(0)
                        m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    bank.eq(head.to_bank),
                    address.eq(head.to_address),
                    step.eq(head.step),
                ]
                m.next = "ROWS"
            with m.State("ROWS"):
                final = Signal()
                m.d.comb += [
                    final.eq(place == words - 1),
                    self.write.valid.eq(self.i.valid & final),
                    self.i.ready.eq(~final | self.write.ready),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += place.eq(Mux(final, 0, place + 1))
                    if words > 1:
                        with m.If(~final):
                            m.d.sync += kept.eq(Cat(kept, word.data)[width:])
                    with m.If(final):
                        m.d.sync += [address.eq(address + step), total.eq(total + 1)]
                        with m.If(word.last):
                            m.next = "HEAD"
        row = Cat(kept, word.data) if words > 1 else word.data
        m.d.comb += [
            self.write.payload.place.bank.eq(bank),
            self.write.payload.place.address.eq(address),
            self.write.payload.data.eq(row),
        ]
        return m
