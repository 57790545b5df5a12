"""NFU-3 with a second table, whose operators join for numbers of twice the width."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.functions import JoinableFunctions
from ..arith.pipeline import delay
from ..arith.requantise import Requantise
from .layouts import Control, Op, Sums, lanes, words
from .nfu2 import joins

__all__ = ["JoinableNfu3"]


class JoinableNfu3(wiring.Component):
    """Nfu3 of DaDianNao (paper, section V.B.3): transfer function and derivative.

    As Nfu3. A step with ``derivative`` gives two rows, which takes a cycle more: the first table's
    function of its sums, then the second one's. Joined sums pass both tables as one of twice the
    width; see JoinableFunctions.

    Parameters
    ----------
    tn : outputs per step, even
    width, multiplier, acc_width, segments, stages : as of Nfu3
    control : layout of the steps' control, with ``aggregate``

    Members
    -------
    i : In(stream of Sums)
    o : Out(stream of lanes(width, tn)); joined, tn / 2 numbers of twice the width
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, *, tn: int, width: int, multiplier: str, acc_width: int, segments: int,
        control: Control, stages: int,
    ):  # fmt: skip
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.tn = tn
        self.width = width
        self.multiplier = multiplier
        self.acc_width = acc_width
        self.segments = segments
        self.stages = stages
        super().__init__(
            {
                "i": In(stream.Signature(Sums(control, acc_width, tn))),
                "o": Out(stream.Signature(lanes(width, tn))),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        to_function = 1 if self.stages > 2 else 0
        control, sums = self.i.payload.control, self.i.payload.sums
        advance, second, follows = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | (self.o.ready & ~follows)),
            self.i.ready.eq(advance),
        ]

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        # Sums to neurons.
        narrow = Signal(lanes(self.width, self.tn))
        parameters = Signal(words(self.width, self.tn))
        for first in range(0, self.tn, 2):
            pair = Signal(signed(2 * self.acc_width), name=f"pair_{first // 2}")
            m.d.comb += [
                pair.eq(Cat(sums[first], sums[first + 1])),
                Cat(narrow[first], narrow[first + 1]).eq(
                    self._requantised(m, pair, 2 * self.width, f"pair_{first // 2}")
                ),
            ]
            for n in (first, first + 1):
                apart = self._requantised(m, sums[n], self.width, f"{n}")
                m.d.comb += parameters[n].eq(sums[n])
                with m.If(~joins(control)):
                    m.d.comb += narrow[n].eq(apart)

        # Transfer functions.
        m.submodules.functions = functions = JoinableFunctions(
            width=self.width, style=self.multiplier, lanes=self.tn, segments=self.segments,
            max_scale=(1 << len(control.scale)) - 1, stages=self.stages - to_function,
        )  # fmt: skip
        is_table = registered(control.op == Op.TABLE, to_function, "is_table")
        valid = registered(self.i.valid, to_function, "valid", reset_less=False)
        twice = control.derivative & ~joins(control)
        twice = registered(twice, to_function + functions.latency, "twice")
        m.d.comb += [
            functions.enable.eq(advance),
            functions.load.eq(valid & is_table),
            functions.table.eq(registered(control.derivative, to_function, "table")),
            functions.words.eq(registered(parameters, to_function, "parameters")),
            functions.joined.eq(registered(joins(control), to_function, "joined")),
            functions.x.eq(registered(narrow, to_function, "narrow")),
            functions.scale.eq(registered(control.scale, to_function, "scale")),
            self.o.valid.eq(
                registered(valid & ~is_table, functions.latency, "active", reset_less=False)
            ),
            follows.eq(twice & ~second),
            self.o.payload.eq(Mux(second, functions.dy.as_value(), functions.y.as_value())),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += second.eq(follows)
        return m

    def _requantised(self, m: Module, value, width: int, name: str) -> Signal:
        """``value`` shifted by the step's ``shift``, rounded and saturated to ``width`` bits."""
        shift = self.i.payload.control.shift
        requantise = Requantise(
            input_width=len(value), width=width, max_shift=(1 << len(shift)) - 1
        )
        m.submodules[f"requantise_{name}"] = requantise
        m.d.comb += [requantise.i.eq(value), requantise.shift.eq(shift)]
        return requantise.o
