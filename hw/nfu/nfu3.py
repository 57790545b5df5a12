"""NFU-3: narrowing and activation."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.activation import PiecewiseLinear
from ..arith.pipeline import delay
from ..arith.requantise import Requantise
from ..arith.select import one_of
from .layouts import Control, Op, Sums, words
from .layouts import lanes as neurons

__all__ = ["Nfu3"]


class Nfu3(wiring.Component):
    """NFU-3 (paper section 5.2): finished sums become neurons, and pass the activation function.

    Each sum is shifted right by the step's ``shift``, rounded and saturated, then evaluated on the
    piecewise-linear table with ``scale``. TABLE steps reload the table in their place in the order
    of steps and give no output. The pipeline advances when the output is empty or accepted.

    With fewer ``lanes`` than outputs, a row waits in a register while its groups of ``lanes`` sums
    are taken one after the other, and its results are collected again. The stages in front go on
    meanwhile, until they have the next row; so nothing is lost as long as a row takes them
    ``tn / lanes`` steps.

    Latency is ``stages`` advances, and ``tn / lanes`` more if that is not 1. From three stages on,
    a register holds the narrowed sums, from seven on another one the shifted sums, and from eight
    on one the sums of the group that is next; the others are PiecewiseLinear's.

    Parameters
    ----------
    tn : outputs per step
    width, drop, multiplier : number format and style of the multipliers
    acc_width : bits of a sum
    segments : segments of the activation table
    control : layout of the steps' control
    stages : pipeline registers, 1 or more
    lanes : outputs per advance, a divisor of ``tn``; 0 for all of them
    paced : the pipeline advances in every cycle: ``o`` is always accepted, and rows come at least
        ``tn / lanes`` cycles apart

    Members
    -------
    i : In(stream of Sums)
    o : Out(stream of lanes(width, tn))
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, *, tn: int, width: int, drop: int, multiplier: str, acc_width: int, segments: int,
        control: Control, stages: int, lanes: int = 0, paced: bool = False,
    ):  # fmt: skip
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        lanes = lanes or tn
        if lanes < 1 or tn % lanes:
            raise ValueError(f"lanes must be 0 or divide tn ({tn}), not {lanes!r}")
        self.tn = tn
        self.groups = tn // lanes
        self.width = width
        self.drop = drop
        self.multiplier = multiplier
        self.acc_width = acc_width
        self.segments = segments
        self.stages = stages
        self.paced = paced
        super().__init__(
            {
                "i": In(stream.Signature(Sums(control, acc_width, tn))),
                "o": Out(stream.Signature(neurons(width, tn))),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        return self.stages + (self.groups if self.groups > 1 else 0)

    def elaborate(self, platform):
        m = Module()
        lanes = self.tn // self.groups
        to_narrow, to_shift, to_group = (int(self.stages > least) for least in (2, 6, 7))
        to_function = to_narrow + to_shift + to_group
        advance = Signal()
        m.d.comb += advance.eq(1 if self.paced else ~self.o.valid | self.o.ready)
        group, valid, closing = self._groups(m, advance)

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        # Sums to neurons.
        control = group.control
        sums = registered(group.sums, to_group, "group")
        shift = registered(control.shift, to_group, "shift")
        narrow = Signal(neurons(self.width, lanes))
        parameters = Signal(words(self.width, lanes))
        for n in range(lanes):
            requantise = Requantise(
                input_width=self.acc_width,
                width=self.width,
                max_shift=(1 << len(control.shift)) - 1,
                stages=to_shift,
            )
            m.submodules[f"requantise_{n}"] = requantise
            m.d.comb += [
                requantise.enable.eq(advance),
                requantise.i.eq(sums[n]),
                requantise.shift.eq(shift),
                narrow[n].eq(requantise.o),
                parameters[n].eq(group.sums[n]),
            ]

        # Activation.
        m.submodules.function = function = PiecewiseLinear(
            width=self.width, drop=self.drop, style=self.multiplier, lanes=lanes,
            segments=self.segments, max_scale=(1 << len(control.scale)) - 1,
            stages=self.stages - to_function, paired=self.tn % 2 == 0,
        )  # fmt: skip
        is_table = registered(control.op == Op.TABLE, to_function, "is_table")
        valid = registered(valid, to_function, "valid", reset_less=False)
        closing = registered(closing, to_function, "closing")
        m.d.comb += [
            function.enable.eq(advance),
            function.load.eq(valid & is_table),
            function.words.eq(registered(parameters, to_function, "parameters")),
            function.x.eq(registered(narrow, to_narrow, "narrow")),
            function.scale.eq(registered(control.scale, to_function, "scale")),
            self.o.valid.eq(
                registered(
                    valid & closing & ~is_table, function.latency, "active", reset_less=False
                )
            ),
        ]
        results = function.y.as_value()
        if self.groups == 1:
            m.d.comb += self.o.payload.eq(results)
        else:
            earlier = Signal((self.groups - 1) * len(results), reset_less=True)
            m.d.comb += self.o.payload.eq(Cat(earlier, results))
            with m.If(advance):
                m.d.sync += earlier.eq(Cat(earlier, results)[len(results) :])
        return m

    def _groups(self, m: Module, advance: Signal):
        """The group of sums that is next, whether there is one, and whether it ends its row."""
        row = self.i.payload
        group = Signal(Sums(row.control.shape(), self.acc_width, self.tn // self.groups))
        if self.groups == 1:
            m.d.comb += [group.eq(row), self.i.ready.eq(advance)]
            return group, self.i.valid, Const(1)
        sums = Signal.like(row.sums, reset_less=True)
        control = Signal.like(row.control, reset_less=True)
        occupied = Signal()
        place = Signal(range(self.groups))
        closing = Signal()
        bits = len(group.sums.as_value())
        groups = [sums.as_value().word_select(k, bits) for k in range(self.groups)]
        # The second of two moves to the place of the first, which takes no more logic, and on an
        # iCE40 none. More stay where they are, since to choose one of them takes half of that.
        moves = self.groups == 2
        m.d.comb += [
            closing.eq(place == self.groups - 1),
            self.i.ready.eq(1 if self.paced else advance & (~occupied | closing)),
            group.control.eq(control),
            group.sums.eq(groups[0] if moves else one_of(m, groups, place, "group")),
        ]
        begin = Signal()
        m.d.comb += begin.eq(self.i.valid | closing if self.paced else self.i.ready)
        with m.If(begin):
            m.d.sync += [
                occupied.eq(self.i.valid),
                place.eq(0),
                sums.eq(row.sums),
                control.eq(row.control),
            ]
        with m.Elif(advance):
            m.d.sync += place.eq(place + 1)
            if moves:
                m.d.sync += sums.eq(groups[1])
        return group, occupied, closing
