"""Fold explicit Pad operators into the windows of the operators that follow."""

from ..float_graph import Computation, Conv, FloatGraph, LocalConv, Pad, Pool

__all__ = ["fold_padding"]


def fold_padding(graph: FloatGraph) -> None:
    """Give the zeros of every Pad to its readers, where that is exact.

    A convolution sees zeros around its input anyway. An average over a padded map counts the zeros,
    so the pool must count its padding, and must not have uncounted padding of its own. A maximum
    ignores padding, which is the same as zeros only if the input is never negative.
    """
    for pad in [node for node in graph.nodes if isinstance(node, Pad)]:
        maker = graph.producer(pad.input)
        nonnegative = isinstance(maker, Computation) and maker.function.nonnegative
        for node in graph.consumers(pad.output):
            if not isinstance(node, Conv | LocalConv | Pool):
                continue
            if isinstance(node, Pool):
                if node.kind == "max" and not nonnegative:
                    continue
                if node.kind == "average":
                    if any(node.pads) and not node.count_include_pad:
                        continue
                    node.count_include_pad = True
            top, left, bottom, right = (
                own + more for own, more in zip(node.pads, pad.pads, strict=True)
            )
            node.pads = (top, left, bottom, right)
            node.inputs = [pad.input]
    graph.drop_unused()
