"""Signed multipliers: a truncated partial-product array for silicon, ``*`` for DSP blocks, and for
FPGAs that have none left, additions."""

from typing import NamedTuple

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..cells import cell
from .numbers import compensation
from .pipeline import delay

__all__ = ["Multiplier"]


class _Row(NamedTuple):
    """A row of partial products in all lanes of a word.

    ``bits`` shows them from column 0 on; only the ``kept`` ones exist, those of negative weight are
    ``inverted``, and bit 0 belongs in ``column``.
    """

    bits: Value
    kept: int
    inverted: int
    column: int


_GROUP = 4
"""Rows of "adders" that are added one after the other; the groups are added in a tree."""


class Multiplier(wiring.Component):
    """Products of one signed number with several, each equal to ``numbers.truncated_product``.

    Latency is ``stages`` advances, throughput ``lanes`` products per advance; registers are not
    reset.

    "array" forms a row of partial products per bit of ``x``, without the ``drop`` lowest columns,
    and adds the rows with carry-save adders and one final adder. Signs follow Baugh and Wooley:
    partial products of negative weight are inverted, which saves all sign extension, and a constant
    makes up for it, together with the compensation for the dropped columns. The output is
    registered, from two stages on also what the final adder adds, and further registers cut the
    carry-save tree.

    "dsp" writes ``*``, which synthesis maps to DSP blocks, and needs ``drop = 0``.

    "adders" adds ``w`` for one bit of ``x`` after the other, if that bit is set. On an FPGA, adder
    and choice are one logic cell per bit, less than half of what the array takes; but carries pass
    through a group of rows one after the other. The output is registered, from two stages on also
    what the groups have summed up. It needs ``drop = 0``.

    Parameters
    ----------
    width : bits of an operand, 2 or more
    drop : partial-product columns left out, 0 to ``width``
    style : "array", "dsp" or "adders"
    stages : pipeline registers, 0 (combinational) or more
    lanes : products. The lanes of an array share nothing but ``x``; side by side in words of 64
        bits they are simulated in the time of one, see ``lanes_per_word``

    Members
    -------
    enable : In(1), the pipeline advances
    x : In(signed(width))
    w : In(ArrayLayout(signed(width), lanes))
    o : Out(ArrayLayout(signed(2 * width), lanes))

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    x: Signal
    w: data.View
    o: data.View

    def __init__(self, *, width: int, drop: int, style: str, stages: int, lanes: int = 1):
        if width < 2:
            raise ValueError(f"width must be 2 or more, not {width!r}")
        if not 0 <= drop <= width:
            raise ValueError(f"drop must be 0 to width ({width}), not {drop!r}")
        if style not in ("array", "dsp", "adders"):
            raise ValueError(f'style must be "array", "dsp" or "adders", not {style!r}')
        if style != "array" and drop:
            raise ValueError(f'drop must be 0 with style "{style}", not {drop!r}')
        if stages < 0:
            raise ValueError(f"stages must be 0 or more, not {stages!r}")
        if lanes < 1:
            raise ValueError(f"lanes must be 1 or more, not {lanes!r}")
        self.width = width
        self.drop = drop
        self.style = style
        self.stages = stages
        self.lanes = lanes
        super().__init__(
            {
                "enable": In(1),
                "x": In(signed(width)),
                "w": In(data.ArrayLayout(signed(width), lanes)),
                "o": Out(data.ArrayLayout(signed(2 * width), lanes)),
            }
        )

    @staticmethod
    def lanes_per_word(width: int) -> int:
        """Products of ``width``-bit numbers that fit a 64-bit word; at least one."""
        return max(1, 64 // (2 * width))

    @property
    def latency(self) -> int:
        """Advances from ``x`` and ``w`` to ``o``."""
        return self.stages

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module that all equal multipliers share."""
        parts = [self.style, f"{self.width}bit", f"drop{self.drop}", f"{self.stages}stages"]
        return "_".join(["multiplier", *parts, f"{self.lanes}lanes"])

    @cell
    def elaborate(self, platform):
        m = Module()
        if self.style == "dsp":
            products = [self.x * w for w in self.w]
            low = 0
            to_output = self.stages
        elif self.style == "adders":
            products = [self._added(m, lane) for lane in range(self.lanes)]
            low = 0
            to_output = min(self.stages, 1)
        else:
            words, low = self._words(m)
            total, carry = self._compress(m, words)
            pairs = zip(self._split(total), self._split(carry), strict=True)
            products = [a[self.drop :] + b[self.drop :] for a, b in pairs]
            to_output = min(self.stages, 1)
        for lane, value in enumerate(products):
            product = Signal(2 * self.width - self.drop, name=f"product_{lane}")
            m.d.comb += product.eq(value)
            product = delay(m, product, to_output, enable=self.enable, name=f"product_{lane}")
            m.d.comb += self.o[lane].eq(Cat(C(low, self.drop), product))
        return m

    def _added(self, m: Module, lane: int) -> Value:
        """``x * w``: ``w`` is added or not, row by row."""
        w = self.w[lane]
        groups: list[Value] = []
        for first in range(0, self.width, _GROUP):
            places = range(min(_GROUP, self.width - first))
            total: Value = C(0, signed(1))
            for place in places:
                row = w << place
                # The sign bit has negative weight.
                following = total - row if first + place == self.width - 1 else total + row
                chosen = Signal(signed(self.width + place + 1), name=f"rows_{lane}_{first + place}")
                m.d.comb += chosen.eq(Mux(self.x[first + place], following, total))
                total = chosen
            total = delay(
                m, total, max(self.stages - 1, 0), enable=self.enable, name=f"group_{lane}_{first}"
            )
            groups.append(total)
        apart = _GROUP
        while len(groups) > 1:
            pairs = zip(groups[::2], groups[1::2], strict=False)
            odd = groups[len(groups) // 2 * 2 :]
            groups = [Cat(a[:apart], (a >> apart) + b).as_signed() for a, b in pairs] + odd
            apart *= 2
        return groups[0]

    def _rows(self) -> list[_Row]:
        """The array: the magnitude of ``w`` times each bit of ``x``, the sign of ``w`` times ``x``.

        A partial product has negative weight if one of its two factors is a sign bit.
        """
        sign = self.width - 1
        bits = (1 << sign) - 1
        magnitudes = self._word([w[:sign] for w in self.w])
        signs = self._word([w[sign].replicate(self.width) & self.x for w in self.w])
        rows = [_Row(signs, 2 * bits + 1, bits, sign)]
        if self.drop == self.width:
            # Clearing all bits of a negative x, sign bit included, leaves -2**width, not 0.
            left = self._word([self.x[sign] & w[0] for w in self.w])
            rows = [_Row(left, 1, 1, self.width), _Row(signs, 2 * bits, bits - 1, sign)]
        for j in range(self.width):
            first = max(0, self.drop - j)
            kept = bits >> first << first
            if kept:
                products = magnitudes & self.x[j].replicate(len(magnitudes))
                rows.append(_Row(products, kept, kept if j == sign else 0, j))
        return rows

    def _words(self, m: Module) -> tuple[list[Value], int]:
        """The words to add, and the constant bits below the first column that the array forms.

        The constant is distributed over the places that the rows leave free.
        """
        rows = self._rows()
        constant = compensation(self.width, self.drop)
        constant -= sum(row.inverted << row.column for row in rows)
        constant %= 1 << 2 * self.width
        low = constant % (1 << self.drop)
        constant -= low
        words = []
        for k, row in enumerate(rows):
            taken = row.kept << row.column
            free, constant = constant & ~taken, constant & taken
            bits = row.bits & self._constant(row.kept)
            if row.inverted:
                bits = bits ^ self._constant(row.inverted)
            placed = Cat(C(0, row.column), bits)
            if free:
                placed = placed | self._constant(free)
            words.append(Signal(2 * self.width * self.lanes, name=f"row_{k}"))
            m.d.comb += words[-1].eq(placed)
        return [*words, self._constant(constant)] if constant else words, low

    def _word(self, lanes: list[Value]) -> Value:
        """A word from what its lanes hold, each at its column 0."""
        return Cat(*(Cat(bits, C(0, 2 * self.width - len(bits))) for bits in lanes))

    def _constant(self, value: int) -> Value:
        """A word with ``value`` in every lane."""
        return C(
            sum(value << 2 * self.width * lane for lane in range(self.lanes)),
            2 * self.width * self.lanes,
        )

    def _split(self, word: Value) -> list[Value]:
        """The lanes of a word."""
        return [word[lane * 2 * self.width :][: 2 * self.width] for lane in range(self.lanes)]

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
        return words if len(words) == 2 else [*words, C(0, len(words[0]))]

    def _carry_save_level(self, m: Module, words: list[Value], level: int) -> list[Value]:
        """Each three words become two of the same sum."""
        compressed = []
        for k in range(0, len(words) - 2, 3):
            a, b, c = words[k : k + 3]
            difference, total, majority = (
                Signal(len(a), name=f"{stem}{level}_{k // 3}")
                for stem in ("difference", "sum", "majority")
            )
            m.d.comb += [
                difference.eq(a ^ b),
                total.eq(difference ^ c),
                majority.eq((a & b) | (difference & c)),
            ]
            carry = Signal(len(a), name=f"carry{level}_{k // 3}")
            # What a lane carries out is beyond its width, and must not reach the next lane.
            within = self._constant((1 << 2 * self.width) - 2)
            m.d.comb += carry.eq(Cat(C(0, 1), majority[:-1]) & within)
            compressed += [total, carry]
        return compressed + words[len(words) // 3 * 3 :]
