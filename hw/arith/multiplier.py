"""Signed multipliers: a truncated partial-product array for silicon, ``*`` for DSP blocks."""

from amaranth.hdl import C, Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..cells import cell
from .numbers import compensation
from .pipeline import delay

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Product of two signed numbers, equal to ``numbers.truncated_product``.

    Latency is ``stages`` advances, throughput one product per advance; registers are not reset.

    "array" forms one row of partial products per bit of ``w``, without the ``drop`` lowest columns,
    and adds the rows with carry-save adders and one final adder. Signs follow Baugh and Wooley: the
    partial products of negative weight are inverted, so that no row needs a sign extension, and a
    constant row makes up for the inversions. It also holds the compensation for the dropped
    columns. The output is registered, from two stages on also the input of the final adder, and
    further registers cut the carry-save tree.

    "dsp" writes ``*``, which synthesis maps to DSP blocks, and needs ``drop = 0``.

    Parameters
    ----------
    width : bits of an operand, 2 or more
    drop : partial-product columns left out, 0 to ``width``
    style : "array" or "dsp"
    stages : pipeline registers, 0 (combinational) or more

    Members
    -------
    enable : In(1), the pipeline advances
    x : In(signed(width))
    w : In(signed(width))
    o : Out(signed(2 * width))

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    x: Signal
    w: Signal
    o: Signal

    def __init__(self, *, width: int, drop: int, style: str, stages: int):
        if width < 2:
            raise ValueError(f"width must be 2 or more, not {width!r}")
        if not 0 <= drop <= width:
            raise ValueError(f"drop must be 0 to width ({width}), not {drop!r}")
        if style not in ("array", "dsp"):
            raise ValueError(f'style must be "array" or "dsp", not {style!r}')
        if style == "dsp" and drop:
            raise ValueError(f'drop must be 0 with style "dsp", not {drop!r}')
        if stages < 0:
            raise ValueError(f"stages must be 0 or more, not {stages!r}")
        self.width = width
        self.drop = drop
        self.style = style
        self.stages = stages
        super().__init__(
            {
                "enable": In(1),
                "x": In(signed(width)),
                "w": In(signed(width)),
                "o": Out(signed(2 * width)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``x`` and ``w`` to ``o``."""
        return self.stages

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module that all equal multipliers share."""
        dropped = f"_drop{self.drop}" if self.drop else ""
        return f"multiplier_{self.style}{self.width}{dropped}_stages{self.stages}"

    @cell
    def elaborate(self, platform):
        m = Module()
        product = Signal(2 * self.width - self.drop)
        if self.style == "dsp":
            m.d.comb += product.eq(self.x * self.w)
            product = delay(m, product, self.stages, enable=self.enable, name="product")
            m.d.comb += self.o.eq(product)
        else:
            rows, constant = self._partial_products(m)
            # Below the dropped columns there is nothing to add or to register.
            low = constant & ((1 << self.drop) - 1)
            total, carry = self._compress(m, self._place(rows, constant - low))
            m.d.comb += product.eq(total[self.drop :] + carry[self.drop :])
            product = delay(m, product, min(self.stages, 1), enable=self.enable, name="product")
            m.d.comb += self.o.eq(Cat(C(low, self.drop), product))
        return m

    def _partial_products(self, m: Module) -> tuple[list[tuple[int, Value]], int]:
        """Rows of the array, each with the column it starts at, and the constant to add to them.

        One row per bit of ``w`` with the magnitude of ``x``, and one with the sign of ``x``.
        """
        width, sign = self.width, self.width - 1
        constant = compensation(width, self.drop)
        signs = Signal(width)
        negative = self.x[sign].replicate(sign) & self.w[:sign]
        m.d.comb += signs.eq(Cat(~negative, self.x[sign] & self.w[sign]))
        rows = [(sign, signs)]
        constant -= ((1 << sign) - 1) << sign
        if self.drop == width:
            # Clearing all bits of a negative x, sign bit included, leaves -2**width, not 0.
            rows = [(width, signs[0]), (width, signs[1:])]
            constant -= 1 << sign
        for j in range(width):
            first = max(0, self.drop - j)
            if first >= sign:
                continue
            bits = Signal(width, name=f"bits_{j}")
            m.d.comb += bits.eq(self.x[:sign] & self.w[j].replicate(width))
            kept = bits[first:sign]
            if j == sign:
                kept = ~kept
                constant -= (1 << (j + sign)) - (1 << (j + first))
            rows.append((j + first, kept))
        return rows, constant % (1 << 2 * width)

    def _place(self, rows: list[tuple[int, Value]], constant: int) -> list[Value]:
        """Words of twice the width with ``rows`` and, where these leave room, ``constant``."""
        words = []
        for start, bits in rows:
            stop = start + len(bits)
            below, above = constant % (1 << start), constant >> stop
            constant -= below + (above << stop)
            words.append(Cat(C(below, start), bits, C(above, 2 * self.width - stop)))
        return [*words, C(constant, 2 * self.width)] if constant else words

    def _compress(self, m: Module, words: list[Value]) -> list[Value]:
        """Add ``words`` in a tree of carry-save adders; the result is a sum and a carry word."""
        levels = 0
        count = len(words)
        while count > 2:
            count -= count // 3
            levels += 1
        # All registers but the output's, evenly over the levels and the last behind them.
        registers = [0] * (levels + 1)
        for stage in range(1, self.stages):
            registers[levels * stage // (self.stages - 1)] += 1

        for level in range(levels + 1):
            if level:
                words = self._carry_save_level(m, words, level)
            words = [
                delay(m, word, registers[level], enable=self.enable, name=f"word{level}_{k}")
                for k, word in enumerate(words)
            ]
        return words if len(words) == 2 else [*words, C(0, 2 * self.width)]

    def _carry_save_level(self, m: Module, words: list[Value], level: int) -> list[Value]:
        """Each three words become two of the same sum."""
        compressed = []
        for k in range(0, len(words) - 2, 3):
            a, b, c = words[k : k + 3]
            difference, total, majority = (
                Signal(2 * self.width, name=f"{stem}{level}_{k // 3}")
                for stem in ("difference", "sum", "majority")
            )
            m.d.comb += [
                difference.eq(a ^ b),
                total.eq(difference ^ c),
                majority.eq((a & b) | (difference & c)),
            ]
            compressed += [total, Cat(C(0, 1), majority[:-1])]
        return compressed + words[len(words) // 3 * 3 :]
