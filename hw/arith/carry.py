"""An adder that uses the carry into its first bit."""

from amaranth.hdl import C, Cat, Value

__all__ = ["add_with_carry"]


def add_with_carry(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry`` for operands of n bits, modulo 2**n, with a single carry chain.

    Written as two additions it would be two chains on an FPGA.
    """
    if len(a) != len(b) or len(carry) != 1:
        raise ValueError(
            f"operands must be equally wide and carry a bit, not {len(a)}, {len(b)}, {len(carry)}"
        )
    return (Cat(C(1, 1), a) + Cat(carry, b))[1 : len(a) + 1]
