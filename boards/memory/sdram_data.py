"""Words of an SDRAM's data pins, and the beats they make."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.streams import Queue

__all__ = ["ReadBeat", "ReadPath", "WriteBeat", "WritePath"]

_WIDTH = 16


class ReadBeat(data.StructLayout):
    """A beat that was read; ``tag`` is that of its request."""

    def __init__(self, beat: int, tag: int):
        super().__init__({"data": unsigned(beat), "last": unsigned(1), "tag": unsigned(tag)})


class WriteBeat(data.StructLayout):
    """A beat to be written, and which of its bytes."""

    def __init__(self, beat: int):
        super().__init__({"data": unsigned(beat), "strobes": unsigned(beat // 8)})


class WritePath(wiring.Component):
    """A beat becomes words: the first is there a cycle after ``start``, the others follow.

    Parameters
    ----------
    beat : bits

    Members
    -------
    start : In(1)
    beat : In(WriteBeat)
    dq_o : Out(16), dq_oe : Out(1), dqm : Out(2); as in SdramPins, and registers
    """

    start: Signal
    beat: Any
    dq_o: Signal
    dq_oe: Signal
    dqm: Signal

    def __init__(self, *, beat: int):
        self._words = beat // _WIDTH
        super().__init__(
            {
                "start": In(1),
                "beat": In(WriteBeat(beat)),
                "dq_o": Out(_WIDTH),
                "dq_oe": Out(1),
                "dqm": Out(_WIDTH // 8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = data.StructLayout({"data": _WIDTH, "mask": _WIDTH // 8, "drive": 1})
        words = Signal(data.ArrayLayout(word, self._words))
        m.d.comb += [
            self.dq_o.eq(words[0].data),
            self.dqm.eq(words[0].mask),
            self.dq_oe.eq(words[0].drive),
        ]
        m.d.sync += words.as_value().eq(words.as_value()[word.size :])
        with m.If(self.start):
            for n in range(self._words):
                m.d.sync += [
                    words[n].data.eq(self.beat.data.word_select(n, _WIDTH)),
                    words[n].mask.eq(~self.beat.strobes.word_select(n, _WIDTH // 8)),
                    words[n].drive.eq(1),
                ]
        return m


class ReadPath(wiring.Component):
    """Words become beats, in a queue in which their place was kept since the command to read.

    Parameters
    ----------
    beat : bits
    tag : bits
    latency : cycles from ``start`` to the first word at ``dq_i``

    Members
    -------
    start : In(1), a beat is being read, no earlier than its words take after the last start; only
        if ``room``
    last : In(1), tag : In, of that beat
    dq_i : In(16)
    room : Out(1), there is a place in the queue; it shows a start two cycles after it
    quiet : Out(1), the pins may be driven: by a command of the next cycle or later
    o : Out(stream(ReadBeat))
    """

    start: Signal
    last: Signal
    tag: Signal
    dq_i: Signal
    room: Signal
    quiet: Signal
    o: stream.Interface

    DEPTH = 16
    """Places: more than there can be on their way, so that reads need not pause."""

    def __init__(self, *, beat: int, tag: int, latency: int):
        self._words = beat // _WIDTH
        self._beat = ReadBeat(beat, tag)
        self._latency = latency
        super().__init__(
            {
                "start": In(1),
                "last": In(1),
                "tag": In(tag),
                "dq_i": In(_WIDTH),
                "room": Out(1),
                "quiet": Out(1),
                "o": Out(stream.Signature(self._beat)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(shape=self._beat, depth=self.DEPTH)

        # Stage n is n cycles after the start; with the last one, the whole beat has come.
        stages = self._latency + self._words
        coming = Signal(stages)
        mark = Cat(self.last, self.tag)
        m.d.sync += coming.eq(Cat(self.start, coming))
        for n in range(stages):
            following = Signal(len(mark), name=f"mark_{n + 1}", reset_less=True)
            m.d.sync += following.eq(mark)
            mark = following
        words = Signal(self._words * _WIDTH, reset_less=True)
        m.d.sync += words.eq(Cat(words[_WIDTH:], self.dq_i))
        m.d.comb += [
            queue.i.valid.eq(coming[-1]),
            queue.i.payload.data.eq(words),
            queue.i.payload.last.eq(mark[0]),
            queue.i.payload.tag.eq(mark[1:]),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
        ]

        # The pins are free one cycle after the last word.
        busy = self._latency + self._words - 3
        m.d.sync += self.quiet.eq(~self.start & (coming[: busy - 1] == 0))

        claimed = Signal(range(self.DEPTH + 1))
        taken = Signal()
        m.d.comb += taken.eq(self.o.valid & self.o.ready)
        m.d.sync += [
            claimed.eq(claimed + self.start - taken),
            self.room.eq(claimed != self.DEPTH),
        ]
        return m
