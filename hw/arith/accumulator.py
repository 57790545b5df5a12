"""The adder of a partial sum, which is the comparator of a maximum too."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from amaranth.hdl import C, Cat, Const, Instance, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..cells import cell
from .pipeline import delay

__all__ = ["CCU2C", "Accumulator"]

CCU2C = "ccu2c"
"""Attribute of a platform whose carry chains are Lattice's CCU2C (ECP5)."""


class Accumulator(wiring.Component):
    """``base + (tree | word | neuron)``, or the larger of ``base`` and ``neuron``.

    A single carry chain does both. With ``larger``, ``base`` fits a neuron, and the complement of
    ``neuron`` is added. Then the bit above a neuron's bits says that ``neuron`` is not less than
    ``base``, and the result is negative if both are.

    On a platform with ``CCU2C``, what is in front of the chain and, above a neuron's bits, behind
    it is done in the LUTs of the chain, which is two bits longer.

    ``word``, ``neuron`` and ``larger`` come ``stages`` advances before their ``base`` and ``tree``;
    from these to ``o`` it is combinational.

    Parameters
    ----------
    width : bits of a neuron
    acc_width : bits of a partial sum, more than ``2 * width``
    stages : registers behind ``word``, ``neuron`` and ``larger``, 0 or more

    Members
    -------
    enable : In(1), the registers advance
    word : In(signed(2 * width))
    neuron : In(signed(width))
    larger : In(1)
    base, tree : In(signed(acc_width)); of ``tree``, ``word`` and ``neuron`` two are 0
    o : Out(signed(acc_width)); sums wrap
    """

    enable: Signal
    word: Signal
    neuron: Signal
    larger: Signal
    base: Signal
    tree: Signal
    o: Signal

    def __init__(self, *, width: int, acc_width: int, stages: int):
        if not 1 <= 2 * width < acc_width:
            raise ValueError(
                f"width must be 1 or more and acc_width more than twice that, not {width!r} and "
                f"{acc_width!r}"
            )
        self.width = width
        self.stages = stages
        number = signed(acc_width)
        super().__init__(
            {
                "enable": In(1),
                "word": In(signed(2 * width)),
                "neuron": In(signed(width)),
                "larger": In(1),
                "base": In(number),
                "tree": In(number),
                "o": Out(number),
            }
        )

    @property
    def cell_name(self) -> str:
        """Name of the cell, which says everything about its content."""
        return f"accumulator_{self.width}_{len(self.o)}_{self.stages}"

    @cell
    def elaborate(self, platform) -> Module:
        m = Module()
        width = self.width
        larger = self._delayed(m, self.larger, "larger")
        around = self.word[:width] | self.neuron.as_unsigned()
        around = self._delayed(m, around ^ self.larger.replicate(width), "around")
        # The sums of the lower bits, the result's upper bits, and what tells which is larger.
        low, high, not_less = (self._ccu2c if getattr(platform, CCU2C, False) else self._adder)(
            m, around, larger
        )
        m.d.comb += self.o.eq(
            Cat(Mux(larger, Mux(not_less, ~around, self.base[:width]), low), high).as_signed()
        )
        return m

    def _delayed(self, m: Module, value: Value, name: str, init: int = 0) -> Value:
        return delay(m, value, self.stages, enable=self.enable, name=name, init=init)

    def _adder(self, m: Module, around: Value, larger: Value) -> tuple[Value, Value, Value]:
        width = self.width
        above = self.word[width:] | self.neuron[-1].replicate(width)
        above = self._delayed(m, above ^ self.larger.replicate(width), "above")
        around = Cat(around, above).as_signed()
        total = Signal.like(self.o, name="total")
        m.d.comb += total.eq(self.base + (self.tree | around))
        negative = self.base[-1] & ~around[-1]
        high = total[width:]
        return total[:width], Mux(larger, negative.replicate(len(high)), high), total[width]

    def _ccu2c(self, m: Module, around: Value, larger: Value) -> tuple[Value, Value, Value]:
        width = self.width
        ones = (1 << width) - 1
        above = Mux(self.neuron[-1] | self.larger, ones, self.word[width:])
        above = self._delayed(m, above, "above", init=ones)
        sums = self._delayed(m, ~self.larger, "sums")
        signs = self.base[-1], around[-1], larger, C(1)
        bits = [
            *(_Bit((self.base[k], self.tree[k], around[k], C(1)), _SUM) for k in range(width)),
            _Bit(signs, _ABOVE),
            _Bit(signs, _SIGN),
        ]
        for k in range(width, len(self.o)):
            sign = above[min(k - width, width - 1)]
            bits.append(_Bit((self.base[k], self.tree[k], sign, sums), _HIGH))
        total = _chain(m, bits)
        return total[:width], total[width + 2 : len(self.o) + 2], total[width]


class _Lut(NamedTuple):
    """Content of the LUT of a bit of CCU2C: ``propagate(a, b, c, d)`` is the bit without its carry,
    and whether the carry goes on; else ``generate(a, b)`` does. With ``c`` and ``d`` at 0 there
    is no room for ``propagate``."""

    propagate: Callable[[int, int, int, int], int]
    generate: Callable[[int, int], int]

    @property
    def init(self) -> int:
        """Its 16 bits."""
        return sum(
            (self.propagate(a, b, c, d) if c or d else self.generate(a, b)) << k
            for k, (d, c, b, a) in enumerate(product((0, 1), repeat=4))
        )


_SUM = _Lut(lambda a, b, c, _: a ^ (b | c), lambda a, _: a)
"""a + (b | c)."""

_ABOVE = _Lut(lambda a, b, c, _: a ^ b if c else 1, lambda *_: 0)
"""With c, the bit above two numbers whose signs are a and b."""

_SIGN = _Lut(lambda a, b, c, _: not c, lambda a, b: not (a and not b))
"""With c, its carry is 0 if a is set and b is not."""

_HIGH = _Lut(lambda a, b, c, d: a ^ (b | c) if d else 1, lambda a, _: a)
"""With d, a + (b | c), else the complement of the carry, and c is set."""


class _Bit(NamedTuple):
    """A bit of a carry chain: inputs a to d and the content of its LUT."""

    inputs: tuple[Value, ...]
    lut: _Lut


def _chain(m: Module, bits: list[_Bit]) -> Value:
    """The sum bits of a chain of CCU2C, two bits each, without a carry into the first."""
    bits = bits + [_Bit((C(0),) * 4, _SUM)] * (len(bits) % 2)
    sums = Signal(len(bits))
    carry: ValueLike = C(0)
    for first in range(0, len(bits), 2):
        after = Signal(name=f"carry_{first + 2}")
        ports: dict = {"i_CIN": carry, "o_COUT": after}
        for k in range(2):
            bit = bits[first + k]
            ports |= {f"i_{name}{k}": pin for name, pin in zip("ABCD", bit.inputs, strict=True)}
            ports |= {f"o_S{k}": sums[first + k], f"p_INIT{k}": Const(bit.lut.init, 16)}
            ports |= {f"p_INJECT1_{k}": "NO"}
        m.submodules[f"ccu2c_{first // 2}"] = Instance("CCU2C", **ports)
        carry = after
    return sums
