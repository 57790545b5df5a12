"""Operator aggregation: two outputs' multipliers and adders, or one output's of twice the width.

DaDianNao's NFU computes with 16 bits, or with 32 bits on the same operators (paper, section V.B.3):
four multipliers make one, two adders make one. With ``X = x1 * 2**w + x0`` and ``S`` alike, both
halves ``x0`` and ``s0`` unsigned,

    X * S = (x0 * s0 + 2**w * x1 * s0) + 2**w * (x0 * s1 + 2**w * x1 * s1),

so one output's tree sums what belongs to ``s0``, the other one's what belongs to ``s1``, and both
shift every second product. No product or sum is computed twice or in vain.
"""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .multiplier import Multiplier
from .tree import Reduction, ReductionTree

__all__ = ["JoinableAdder", "JoinableProducts", "JoinableTree"]


def _check(width: int, ti: int):
    if width < 1:
        raise ValueError(f"width must be 1 or more, not {width!r}")
    if ti < 2 or ti % 2:
        raise ValueError(f"ti must be even, not {ti!r}")


class JoinableProducts(wiring.Component):
    """The products of a pair of outputs.

    Apart, output ``a`` gets ``x[i] * w[a][i]``. Joined, ``x`` is ``ti / 2`` numbers of twice the
    width, low half first, and so is the row ``w[half]``; the products of their halves come out
    where JoinableTree wants them.

    Latency is ``stages`` advances, throughput one set of products per advance; exact.

    Parameters
    ----------
    width : bits of an operand
    ti : operands, even
    style : of the multipliers, "array" or "dsp"; they have a bit more than ``width``, as halves
        have signs or not
    stages : pipeline registers

    Members
    -------
    enable : In(1), the pipeline advances
    joined, half : In(1), belong to the operands
    x : In(ArrayLayout(signed(width), ti))
    w : In(ArrayLayout(ArrayLayout(signed(width), ti), 2))
    o : Out(ArrayLayout(ArrayLayout(signed(2 * width + 1), ti), 2))
    """

    enable: Signal
    joined: Signal
    half: Signal
    x: data.View
    w: data.View
    o: data.View

    def __init__(self, *, width: int, ti: int, style: str, stages: int):
        _check(width, ti)
        self.width = width
        self.ti = ti
        self.style = style
        self.stages = stages
        row = data.ArrayLayout(signed(width), ti)
        products = data.ArrayLayout(signed(2 * width + 1), ti)
        super().__init__(
            {
                "enable": In(1),
                "joined": In(1),
                "half": In(1),
                "x": In(row),
                "w": In(data.ArrayLayout(row, 2)),
                "o": Out(data.ArrayLayout(products, 2)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from operands to products."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        whole = Signal(data.ArrayLayout(signed(self.width), self.ti))
        m.d.comb += whole.eq(Mux(self.half, self.w[1].as_value(), self.w[0].as_value()))
        for i in range(self.ti):
            multiplier = Multiplier(
                width=self.width + 1, drop=0, style=self.style, stages=self.stages, lanes=2
            )
            m.submodules[f"multiplier_{i}"] = multiplier
            low_half = self.joined if i % 2 == 0 else 0
            m.d.comb += [
                multiplier.enable.eq(self.enable),
                multiplier.x.eq(self._extended(self.x[i], low_half)),
            ]
            for a in range(2):
                weight = Mux(self.joined, whole[i // 2 * 2 + a], self.w[a][i])
                m.d.comb += [
                    multiplier.w[a].eq(self._extended(weight, self.joined if a == 0 else 0)),
                    self.o[a][i].eq(multiplier.o[a]),
                ]
        return m

    def _extended(self, value: Value, unsigned: Value | int) -> Value:
        """``value`` with one bit more: its sign, or 0 if ``unsigned``."""
        bits = Value.cast(value)
        return Cat(bits, bits[-1] & ~unsigned if isinstance(unsigned, Value) else bits[-1])


class JoinableTree(wiring.Component):
    """The adder trees of a pair of outputs.

    Apart, ``o[a]`` is the sum of ``i[a]``. Joined, ``whole`` is the sum of the ``ti / 2`` products
    of twice the width whose parts ``i`` are; see JoinableProducts.

    Latency is ``stages`` advances, throughput one pair of sums per advance; exact.

    Parameters
    ----------
    width, ti : as of JoinableProducts
    stages : pipeline registers, see ReductionTree

    Members
    -------
    enable : In(1), the pipeline advances
    joined : In(1), belongs to the products
    i : In(ArrayLayout(ArrayLayout(signed(2 * width + 1), ti), 2))
    o : Out(ArrayLayout(signed(output_width), 2))
    whole : Out(signed(output_width + width))
    """

    enable: Signal
    joined: Signal
    i: data.View
    o: data.View
    whole: Signal

    def __init__(self, *, width: int, ti: int, stages: int):
        _check(width, ti)
        self.width = width
        self.ti = ti
        self.stages = stages
        self._trees = [
            ReductionTree(
                operation=Reduction.ADD, width=3 * width + 2, count=ti // 2, stages=stages
            )
            for _ in range(2)
        ]
        self.output_width = self._trees[0].output_width
        products = data.ArrayLayout(signed(2 * width + 1), ti)
        super().__init__(
            {
                "enable": In(1),
                "joined": In(1),
                "i": In(data.ArrayLayout(products, 2)),
                "o": Out(data.ArrayLayout(signed(self.output_width), 2)),
                "whole": Out(signed(self.output_width + width)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from products to sums."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        for a, tree in enumerate(self._trees):
            m.submodules[f"tree_{a}"] = tree
            m.d.comb += [tree.enable.eq(self.enable), self.o[a].eq(tree.o)]
            for j in range(self.ti // 2):
                low, high = self.i[a][2 * j], self.i[a][2 * j + 1]
                shifted = Signal(signed(3 * self.width + 1), name=f"shifted_{a}_{j}")
                m.d.comb += [
                    shifted.eq(Mux(self.joined, high << self.width, high)),
                    tree.i[j].eq(low + shifted),
                ]
        low, high = self._trees
        m.d.comb += self.whole.eq(low.o + (high.o << self.width))
        return m


class JoinableAdder(wiring.Component):
    """Two accumulators' adders and comparators: sums, or the larger ones; combinational.

    Apart, each of the two numbers has its own result. Joined, they are the halves of one number of
    twice the width, the low one first: the carry goes on, and the comparison decides for both.
    Sums wrap.

    Parameters
    ----------
    width : bits of a number

    Members
    -------
    joined : In(1)
    larger : In(1), the larger of ``a`` and ``b`` instead of their sum
    a, b : In(ArrayLayout(signed(width), 2))
    o : Out(ArrayLayout(signed(width), 2))
    """

    joined: Signal
    larger: Signal
    a: data.View
    b: data.View
    o: data.View

    def __init__(self, *, width: int):
        _check(width, 2)
        self.width = width
        pair = data.ArrayLayout(signed(width), 2)
        super().__init__(
            {"joined": In(1), "larger": In(1), "a": In(pair), "b": In(pair), "o": Out(pair)}
        )

    def elaborate(self, platform):
        m = Module()
        low = Signal(self.width + 1)
        high = Signal(self.width)
        m.d.comb += [
            low.eq(self.a[0].as_unsigned() + self.b[0].as_unsigned()),
            # The carry comes in through a bit below, so that it takes no adder of its own.
            high.eq((Cat(C(1, 1), self.a[1]) + Cat(low[-1] & self.joined, self.b[1]))[1:]),
        ]
        # The low half's comparison has no sign when joined.
        signs = [Cat(v[0], v[0][-1] & ~self.joined).as_signed() for v in (self.a, self.b)]
        above = Signal(2)
        decided = Signal(2)
        m.d.comb += [
            above.eq(Cat(signs[0] > signs[1], self.a[1] > self.b[1])),
            decided.eq(above),
        ]
        with m.If(self.joined):
            whole = above[1] | (above[0] & (self.a[1] == self.b[1]))
            m.d.comb += decided.eq(whole.replicate(2))
        for k, total in enumerate((low[: self.width], high)):
            with m.If(self.larger):
                m.d.comb += self.o[k].eq(Mux(decided[k], self.a[k], self.b[k]))
            with m.Else():
                m.d.comb += self.o[k].eq(total)
        return m
