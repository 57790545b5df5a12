"""Adders that use the carry into their first bit, or out of their last one."""

from amaranth.hdl import C, Cat, Value

__all__ = ["add_with_carry", "sum_or_larger"]


def add_with_carry(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry`` for operands of n bits, modulo 2**n, with a single carry chain.

    Written as two additions it would be two chains on an FPGA.
    """
    if len(a) != len(b) or len(carry) != 1:
        raise ValueError(
            f"operands must be equally wide and carry a bit, not {len(a)}, {len(b)}, {len(carry)}"
        )
    return (Cat(C(1, 1), a) + Cat(carry, b))[1 : len(a) + 1]


def sum_or_larger(a: Value, b: Value, compares: Value) -> Value:
    """A sum, or which one is larger, from a single carry chain.

    Of n + 4 bits, the lower n are ``a + b`` for signed operands of n bits, modulo 2**n, if not
    ``compares``. Then, ``b`` is the complement of the number that ``a`` is compared with, and
    bits n + 1 and n + 3 say what to choose, without further logic behind the chain:

    ======== ======== ==========
    bit n+1  bit n+3
    ======== ======== ==========
    0        0        the sum
    0        1        ``a``, which is not less than ``~b``
    1        sign     ``~b``, whose sign bit n + 3 is
    ======== ======== ==========
    """
    # With their signs inverted the operands are unsigned, and a carry says that ``a`` is not less.
    # Bit n lets it pass, or is 1 without ``compares``; so does bit n + 2, or is 1 or 0. The bits
    # behind them show it.
    above_a = Cat(~a[-1], C(3, 2), compares, C(0, 1))
    above_b = Cat(~b[-1], ~compares, C(0, 1), compares & ~b[-1], C(0, 1))
    return add_with_carry(Cat(a[:-1], above_a), Cat(b[:-1], above_b), compares)
