"""NFU-3: narrowing and activation."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.activation import PiecewiseLinear
from ..arith.pipeline import delay
from ..arith.requantise import Requantise
from .layouts import Control, Op, Sums, lanes, words

__all__ = ["Nfu3"]


class Nfu3(wiring.Component):
    """NFU-3 (paper section 5.2): finished sums become neurons, and pass the activation function.

    Each sum is shifted right by the step's ``shift``, rounded and saturated, then evaluated on the
    piecewise-linear table with ``scale``. TABLE steps reload the table in their place in the order
    of steps and give no output. The pipeline advances when the output is empty or accepted.

    Latency is ``stages`` advances. From three stages on, the first register holds the narrowed
    sums; the others are PiecewiseLinear's.

    Parameters
    ----------
    tn : outputs per step
    width, drop, multiplier : number format and style of the multipliers
    acc_width : bits of a sum
    segments : segments of the activation table
    control : layout of the steps' control
    stages : pipeline registers, 1 or more

    Members
    -------
    i : In(stream of Sums)
    o : Out(stream of lanes(width, tn))
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, *, tn: int, width: int, drop: int, multiplier: str, acc_width: int, segments: int,
        control: Control, stages: int,
    ):  # fmt: skip
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.tn = tn
        self.width = width
        self.drop = drop
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
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        # Sums to neurons.
        control = self.i.payload.control
        narrow = Signal(lanes(self.width, self.tn))
        parameters = Signal(words(self.width, self.tn))
        for n in range(self.tn):
            requantise = Requantise(
                input_width=self.acc_width,
                width=self.width,
                max_shift=(1 << len(control.shift)) - 1,
            )
            m.submodules[f"requantise_{n}"] = requantise
            m.d.comb += [
                requantise.i.eq(self.i.payload.sums[n]),
                requantise.shift.eq(control.shift),
                narrow[n].eq(requantise.o),
                parameters[n].eq(self.i.payload.sums[n]),
            ]

        # Activation.
        m.submodules.function = function = PiecewiseLinear(
            width=self.width, drop=self.drop, style=self.multiplier, lanes=self.tn,
            segments=self.segments, max_scale=(1 << len(control.scale)) - 1,
            stages=self.stages - to_function,
        )  # fmt: skip
        valid = registered(self.i.valid, to_function, "valid", reset_less=False)
        is_table = registered(control.op == Op.TABLE, to_function, "is_table")
        m.d.comb += [
            function.enable.eq(advance),
            function.load.eq(valid & is_table),
            function.words.eq(registered(parameters, to_function, "parameters")),
            function.x.eq(registered(narrow, to_function, "narrow")),
            function.scale.eq(registered(control.scale, to_function, "scale")),
            self.o.payload.eq(function.y),
            self.o.valid.eq(
                registered(valid & ~is_table, function.latency, "active", reset_less=False)
            ),
        ]
        return m
