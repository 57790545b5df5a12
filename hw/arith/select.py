"""A multiplexer for LUTs of four inputs."""

from amaranth.hdl import Module, Mux, Signal, Value

__all__ = ["one_of"]


def one_of(m: Module, values: list[Value], number: Value, name: str) -> Value:
    """``values[number]``, or in all bits the lowest one of a ``number`` behind the last value.

    Combinational. A bit takes a LUT of four inputs for two values, in a chain: what comes along it
    is the lowest bit of ``number``, which chooses between the two of a pair, or what was chosen.
    What is late comes last.

    Parameters
    ----------
    values : one or more of the same width
    number : unsigned
    name : prefix of the signals in the chain
    """
    if not values or len({len(value) for value in values}) != 1:
        raise ValueError(
            f"values must be of the same width, not of {[len(value) for value in values]}"
        )
    chosen: Value = number[0].replicate(len(values[0]))
    for first in range(0, len(values), 2):
        even, *odd = values[first : first + 2]
        here = Signal(name=f"{name}_is_{first}")
        pair = Signal(len(even), name=f"{name}_{first}")
        m.d.comb += [
            here.eq(number[1:] == first // 2 if odd else number == first),
            pair.eq(Mux(here, (~chosen & even) | (chosen & odd[0]) if odd else even, chosen)),
        ]
        chosen = pair
    return chosen
