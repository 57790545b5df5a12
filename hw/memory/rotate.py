"""Rotation of a vector of elements by a variable number of places."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value

__all__ = ["rotate_down", "rotate_up"]


def rotate_down(m: Module, vector: Value, amount: Value, width: int, name: str) -> Value:
    """Element k of the result is element ``(k + amount) mod n`` of ``vector``.

    Combinational, one level of multiplexers per bit of ``amount``.

    Parameters
    ----------
    vector : n elements of ``width`` bits, flat, element 0 lowest; n is a power of two
    amount : unsigned, log2(n) bits
    name : prefix of the signals between the levels
    """
    count = len(vector) // width
    if len(vector) != count * width or 1 << len(amount) != count:
        raise ValueError(
            f"vector must have 2**{len(amount)} elements of {width} bits, not {len(vector)} bits"
        )
    for level in reversed(range(len(amount))):
        places = width << level
        rotated = Signal(len(vector), name=f"{name}_{1 << level}")
        m.d.comb += rotated.eq(Mux(amount[level], Cat(vector[places:], vector[:places]), vector))
        vector = rotated
    return vector


def rotate_up(m: Module, vector: Value, amount: Value, width: int, name: str) -> Value:
    """Element ``(k + amount) mod n`` of the result is element k of ``vector``."""
    places = Signal.like(amount, name=f"{name}_places")
    m.d.comb += places.eq(-amount)
    return rotate_down(m, vector, places, width, name)
