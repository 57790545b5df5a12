"""NFU-2: adder trees, partial sums and bias."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.accumulator import Accumulator
from ..arith.aggregate import JoinableAdder, JoinableTree
from ..arith.pipeline import delay
from ..arith.select import one_of
from ..arith.tree import Reduction, ReductionTree
from ..memory.ram import Ram
from .layouts import Control, Op, PartialPort, Products, Sums, lanes, words

__all__ = ["Nfu2", "joins"]


class _Base(enum.Enum, shape=3):
    """What a step's operand is added to: numbers for ``one_of``."""

    BIAS = 0
    LATEST = 1
    """The row of sums that has been written last."""
    PARTIAL = 2
    SUMS = 3
    """The row that is being written."""
    NOTHING = 4


class Nfu2(wiring.Component):
    """NFU-2 (paper section 5.2): Tn adder trees, then Tn partial sums that live in NBout.

    The accumulation stage adds each step's operand to a base (MAC, SUM) or takes the larger (MAX).
    The operand is the tree's sum (MAC) or what went around NFU-1. The base is the bias row for the
    ``first`` MAC, nothing for other firsts, and NBout's partial-sum row for the rest. The result
    goes to NFU-3 if it is the ``last``, else back into NBout's row. BIAS writes its words into the
    bias row, TABLE hands them to NFU-3.

    NBout and the bias buffer are read one advance before the base is chosen. A row that has been
    written since is taken from the adders or the partial-sum registers instead, so one step per
    cycle is exact whatever the rows. The pipeline advances when the output is empty or accepted.

    Latency is ``stages`` advances: the trees' registers, and the partial-sum registers as the last.
    From three stages on there is one with the base before these. With a single stage the sums leave
    combinationally behind the trees' registers.

    Parameters
    ----------
    tn, ti : outputs and inputs per step
    width : bits of a neuron
    acc_width : bits of a partial sum, more than 2 * width
    control : layout of the steps' control; with its ``aggregate``, operators join, and ``tn`` and
        ``ti`` are even
    nbout_rows, bias_rows : rows of partial sums and of biases
    stages : pipeline registers, 1 or more

    Members
    -------
    i : In(stream of Products)
    o : Out(stream of Sums), from finished sums and TABLE
    partial : Out(PartialPort) to NBout
    """

    i: stream.Interface
    o: stream.Interface
    partial: Any

    def __init__(
        self, *, tn: int, ti: int, width: int, acc_width: int, control: Control, nbout_rows: int,
        bias_rows: int, stages: int,
    ):  # fmt: skip
        if acc_width <= 2 * width:
            raise ValueError(f"acc_width must be more than {2 * width}, not {acc_width!r}")
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.tn = tn
        self.ti = ti
        self.width = width
        self.acc_width = acc_width
        self.bias_rows = bias_rows
        self.stages = stages
        super().__init__(
            {
                "i": In(stream.Signature(Products(control, width, tn, ti))),
                "o": Out(stream.Signature(Sums(control, acc_width, tn))),
                "partial": Out(PartialPort(rows=nbout_rows, acc_width=acc_width, tn=tn)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        # Registers in front of the accumulation stage. From two on, the last of them also hold what
        # is added to.
        to_accumulate = max(self.stages - 1, 1)
        to_operands = int(to_accumulate > 1)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        # Steps on their way: ``ahead[0]`` is in the accumulation stage, ``ahead[k]`` comes k
        # advances later.
        ahead = [(self.i.payload.control, self.i.valid)]
        for stage in range(to_accumulate):
            control, valid = ahead[0]
            control = registered(control, 1, f"control_{stage}")
            valid = registered(valid, 1, f"valid_{stage}", reset_less=False)
            ahead.insert(0, (control, valid))
        control, valid = ahead[0]

        # What goes around the adder trees.
        to_trees = to_accumulate - to_operands
        parameters = registered(self.i.payload.parameters, to_trees, "parameters")
        neurons = registered(self.i.payload.neurons, to_trees, "neurons")
        pooled = min(self.tn, self.ti)
        aggregate = control.shape().aggregate

        # Memories, read one advance before the base is chosen.
        sums = Signal.like(self.o.payload.sums)
        parks = _parks(m, control, valid)
        reading, reading_valid = ahead[to_operands + 1]
        from_bias, from_nothing = Signal(), Signal()
        m.submodules.bias = bias = Ram(
            shape=words(self.width, self.tn), depth=max(2, self.bias_rows)
        )
        m.d.comb += [
            from_bias.eq((reading.op == Op.MAC) & reading.first),
            from_nothing.eq(
                (reading.op == Op.BIAS) | (reading.op == Op.TABLE) | (reading.first & ~from_bias)
            ),
            bias.read_row.eq(reading.bias),
            bias.read.eq(advance & reading_valid & from_bias),
            bias.write_row.eq(control.bias),
            bias.write.eq(advance & valid & (control.op == Op.BIAS)),
            *(bias.write_data[n].eq(sums[n]) for n in range(self.tn)),
            self.partial.read_row.eq(reading.row),
            self.partial.read.eq(advance & reading_valid & ~from_bias & ~from_nothing),
            self.partial.write_row.eq(control.row),
            self.partial.write.eq(advance & parks),
            self.partial.write_data.eq(sums),
        ]

        # Base of the accumulation. A row that is written while it is read is still at hand.
        chosen = Signal(_Base, init=_Base.NOTHING)
        with m.If(advance):
            m.d.sync += chosen.eq(Mux(from_bias, _Base.BIAS, _Base.PARTIAL))
            with m.If(_writes_base(control, valid, parks, reading, from_bias)):
                m.d.sync += chosen.eq(_Base.LATEST)
            if to_operands:
                # So is a row that is written while the base is chosen. Whether it is, is found an
                # advance earlier, since all bits of the base depend on it.
                with m.If(_writes_base(*ahead[1], _parks(m, *ahead[1]), reading, from_bias)):
                    m.d.sync += chosen.eq(_Base.SUMS)
            with m.If(from_nothing):
                m.d.sync += chosen.eq(_Base.NOTHING)
        latest = Signal.like(sums, reset_less=True)
        biases = Signal.like(sums)
        m.d.comb += [biases[n].eq(bias.read_data[n]) for n in range(self.tn)]
        sources = [biases, latest, self.partial.read_data, *([sums] if to_operands else [])]
        base = Signal.like(sums)
        m.d.comb += base.eq(
            one_of(m, [source.as_value() for source in sources], chosen.as_value(), "base")
        )
        if aggregate:
            base = self._joinable_base(m, base, ahead[to_operands][0])
        if to_operands:
            base = registered(base, 1, "base")

        # Adder trees and accumulation.
        if aggregate:
            operands = Signal(lanes(self.acc_width, self.tn))
            around = [
                parameters[n] | neurons[n] if n < pooled else parameters[n] for n in range(self.tn)
            ]
            self._joinable_trees(m, operands, around, ahead[to_operands][0], to_trees, advance)
            operands = registered(operands, to_operands, "operands")
            self._joinable_adders(m, operands, base, sums, control)
        else:
            no_mac, larger = Signal(), Signal()
            m.d.comb += [
                no_mac.eq(ahead[1][0].op != Op.MAC),
                larger.eq(_takes_larger(ahead[to_operands][0])),
            ]
            for n in range(self.tn):
                tree = ReductionTree(
                    operation=Reduction.ADD, width=2 * self.width, count=self.ti,
                    stages=to_accumulate,
                )  # fmt: skip
                accumulator = Accumulator(
                    width=self.width, acc_width=self.acc_width, stages=to_operands
                )
                m.submodules[f"tree_{n}"] = tree
                m.submodules[f"accumulator_{n}"] = accumulator
                m.d.comb += [
                    tree.enable.eq(advance),
                    tree.clear.eq(no_mac),
                    tree.i.eq(self.i.payload.products[n]),
                    accumulator.enable.eq(advance),
                    accumulator.word.eq(parameters[n]),
                    accumulator.neuron.eq(neurons[n] if n < pooled else 0),
                    accumulator.larger.eq(larger),
                    accumulator.base.eq(base[n]),
                    accumulator.tree.eq(tree.o),
                    sums[n].eq(accumulator.o),
                ]
        with m.If(advance & valid):
            m.d.sync += latest.eq(sums)

        # Finished sums.
        finished = valid & ~parks & (control.op != Op.BIAS)
        to_output = self.stages - to_accumulate
        m.d.comb += [
            self.o.valid.eq(registered(finished, to_output, "finished", reset_less=False)),
            self.o.payload.control.eq(registered(control, to_output, "control_out")),
            self.o.payload.sums.eq(latest if to_output else sums),
        ]
        return m

    def _joinable_trees(self, m: Module, operands, around, control, stages: int, advance: Signal):
        """Pairs of operands, or those of twice the width, from trees or from what goes around."""
        is_mac = control.op == Op.MAC
        for first in range(0, self.tn, 2):
            tree = JoinableTree(width=self.width, ti=self.ti, stages=stages)
            m.submodules[f"trees_{first // 2}"] = tree
            number = Signal(signed(2 * self.width), name=f"number_{first // 2}")
            whole = Signal(signed(2 * self.acc_width), name=f"whole_{first // 2}")
            pair = Cat(operands[first], operands[first + 1])
            m.d.comb += [
                tree.enable.eq(advance),
                tree.joined.eq(self.i.payload.control.joined),
                number.eq(Cat(around[first][: self.width], around[first + 1][: self.width])),
                whole.eq(Mux(is_mac, tree.whole, number)),
                pair.eq(whole),
            ]
            for a in range(2):
                m.d.comb += tree.i[a].eq(self.i.payload.products[first + a])
                with m.If(~joins(control)):
                    m.d.comb += operands[first + a].eq(Mux(is_mac, tree.o[a], around[first + a]))

    def _joinable_adders(self, m: Module, operands, base, sums, control):
        """Pairs of accumulators, or those of twice the width."""
        for first in range(0, self.tn, 2):
            adder = JoinableAdder(width=self.acc_width)
            m.submodules[f"adder_{first // 2}"] = adder
            m.d.comb += [adder.joined.eq(joins(control)), adder.larger.eq(_takes_larger(control))]
            for a in range(2):
                m.d.comb += [
                    adder.a[a].eq(base[first + a]),
                    adder.b[a].eq(operands[first + a]),
                    sums[first + a].eq(adder.o[a]),
                ]

    def _joinable_base(self, m: Module, base, control):
        """``base``, in which two words of the bias row are one for joined outputs."""
        joined = Signal.like(base, name="joined_base")
        m.d.comb += joined.eq(base)
        with m.If(control.joined & (control.op == Op.MAC) & control.first):
            for first in range(0, self.tn, 2):
                word = Signal(signed(4 * self.width), name=f"word_{first // 2}")
                low, high = (base[first + a][: 2 * self.width] for a in range(2))
                m.d.comb += [
                    word.eq(Cat(low, high)),
                    Cat(joined[first], joined[first + 1]).eq(word),
                ]
        return joined


def joins(control) -> Value:
    """Whether a step's numbers are of twice the width."""
    return control.joined & (control.op != Op.BIAS) & (control.op != Op.TABLE)


def _takes_larger(control) -> Value:
    """Whether a step's result is the larger of operand and base, not their sum."""
    return (control.op == Op.MAX) & ~control.first


def _parks(m: Module, control, valid: Value) -> Signal:
    """Whether a step leaves its sums in NBout."""
    parks = Signal()
    m.d.comb += parks.eq(valid & (control.op != Op.BIAS) & (control.op != Op.TABLE) & ~control.last)
    return parks


def _writes_base(control, valid: Value, parks: Value, later, from_bias: Value) -> Value:
    """Whether the step with ``control`` writes the row from which the step ``later`` starts: in
    NBout, if it ``parks``, or the bias row, if that one is ``from_bias``."""
    same_bias = valid & (control.op == Op.BIAS) & (control.bias == later.bias)
    same_partial = parks & (control.row == later.row)
    return Mux(from_bias, same_bias, same_partial)
