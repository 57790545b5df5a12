"""Choose the number of fraction bits of every tensor on the core."""

from collections.abc import Mapping

import numpy as np

from hw.arith.numbers import bounds
from hw.errors import UserError

from .calibrate import Range
from .float_graph import (
    Add,
    Computation,
    Concat,
    Conv,
    FloatGraph,
    Gemm,
    Host,
    LocalConv,
    Mul,
    Node,
    Pool,
)
from .functions import IDENTITY, Function

__all__ = ["argument_frac", "largest_frac", "preset_frac", "tensor_fracs"]


def preset_frac(preset: str, width: int) -> int:
    """Fraction bits of a format "Qm.n"; m counts the sign, and m + n must be ``width``."""
    integer, _, fraction = preset.removeprefix("Q").partition(".")
    if preset.startswith("Q") and integer.isdecimal() and fraction.isdecimal():
        if int(integer) + int(fraction) == width:
            return int(fraction)
    raise UserError(f"preset must be Qm.n with m + n = {width}, like Q6.{width - 6}, not {preset}")


def largest_frac(span: Range, width: int) -> int:
    """The most fraction bits with which integers of ``width`` bits hold ``span``."""
    low, high = bounds(width)
    reach = max(-span[0], span[1])
    if reach <= 0:
        return width - 2
    frac = int(np.clip(np.floor(np.log2(high) - np.log2(reach)) + 1, -64, 64))
    while round(span[1] * 2.0**frac) > high or round(span[0] * 2.0**frac) < low:
        frac -= 1
    return frac


def argument_frac(function: Function, span: Range, output_frac: int, width: int, most: int) -> int:
    """Fraction bits of the value that NFU-3 applies ``function`` to.

    Where the function only selects, it has those of the result, so that the table is exact.
    Otherwise as many as hold ``span``, leaving out what the function does not tell apart: values
    beyond which it is constant may saturate.

    Parameters
    ----------
    span : range of the value
    output_frac : fraction bits of the result
    most : fraction bits that the value can have (those of the sum it is made from)
    """
    if function.selects:
        return min(output_frac, most)
    low, high = bounds(width)
    x = np.linspace(*span, 2049)
    y = function(x)

    def harmless(frac: int) -> bool:
        saturated = np.clip(x, low * 2.0**-frac, high * 2.0**-frac)
        return bool(np.abs(function(saturated) - y).max() <= 0.25 * 2.0**-output_frac)

    frac = min(largest_frac(span, width), most)
    while frac < most and harmless(frac + 1) and frac < output_frac + width:
        frac += 1
    # The table's steepest slope must fit the width.
    steepest = np.log2(max(function.steepest, 2.0**-width))
    return min(most, max(frac, int(np.ceil(output_frac + steepest - (width - 2)))))


class _Groups:
    """Sets of tensors that must have the same number of fraction bits (union-find)."""

    def __init__(self, names: list[str]):
        self.parent = {name: name for name in names}

    def find(self, name: str) -> str:
        while self.parent[name] != name:
            self.parent[name] = self.parent[self.parent[name]]
            name = self.parent[name]
        return name

    def join(self, first: str, *others: str) -> None:
        for other in others:
            self.parent[self.find(other)] = self.find(first)


def tensor_fracs(
    graph: FloatGraph, ranges: Mapping[str, Range], width: int, preset: int | None
) -> dict[str, int]:
    """Fraction bits of every tensor that the core reads or writes.

    Dynamic fixed point: the most that the calibrated range allows, the same for all tensors that a
    concatenation or a plain maximum connects; or ``preset`` everywhere.
    """
    core = [node for node in graph.nodes if not isinstance(node, Host)]
    names = list(dict.fromkeys(name for node in core for name in [*node.inputs, *node.outputs]))
    if preset is not None:
        return dict.fromkeys(names, preset)

    groups = _Groups(names)
    for node in core:
        if isinstance(node, Concat) or (
            isinstance(node, Pool) and node.kind == "max" and node.function == IDENTITY
        ):
            groups.join(node.output, *node.inputs)
    fracs: dict[str, int] = {}
    for name in names:
        frac = largest_frac(ranges[graph.tensors[name].source], width)
        root = groups.find(name)
        fracs[root] = min(frac, fracs.get(root, frac))

    # What the constants of the operators can bridge limits the distance between neighbours.
    limits = [limit for node in core for limit in _limits(node, width)]
    changed = True
    while changed:
        changed = False
        for above, below, distance in limits:
            a, b = groups.find(above), groups.find(below)
            if fracs[a] > fracs[b] + distance:
                fracs[a] = fracs[b] + distance
                changed = True
    return {name: fracs[groups.find(name)] for name in names}


def _limits(node: Node, width: int) -> list[tuple[str, str, int]]:
    """Triples: the first tensor may have at most so many more fraction bits than the second."""
    if not isinstance(node, Computation):
        return []
    # NFU-3 raises the number of fraction bits by a slope of at most width - 1 bits.
    raise_by = width - 2 - int(np.ceil(np.log2(max(node.function.steepest, 2.0**-width))))
    y = node.output
    if isinstance(node, Add):
        a, b = node.inputs
        apart = width - 2
        return [(a, b, apart), (b, a, apart), (y, a, apart + raise_by), (y, b, apart + raise_by)]
    if isinstance(node, Conv | LocalConv | Gemm):
        return [
            (y, node.input, largest_frac((node.weight.min(), node.weight.max()), width) + raise_by)
        ]
    if isinstance(node, Mul):  # a product has the fraction bits of both
        return []
    return [(y, node.input, raise_by)]
