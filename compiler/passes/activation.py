"""Give activations to the operators whose results they are applied to."""

from ..float_graph import Activation, Computation, FloatGraph, Pool

__all__ = ["fuse_activations"]


def fuse_activations(graph: FloatGraph) -> None:
    """Remove all Activation nodes.

    An activation of a result that nobody else reads becomes part of the table of the operator that
    computes it. Any other runs by itself, as a maximum over windows of one element.
    """
    for node in [node for node in graph.nodes if isinstance(node, Activation)]:
        maker = graph.producer(node.input)
        if (
            isinstance(maker, Computation)
            and graph.only_consumer(node.input)
            and maker.function.accepts(node.function)
        ):
            maker.function = maker.function.then(node.function)
            maker.outputs = [node.output]
            graph.replace(node)
        else:
            pool = Pool(
                name=node.name, inputs=node.inputs, outputs=node.outputs, kind="max",
                function=node.function, raw=graph.tensors[node.input].source,
            )  # fmt: skip
            graph.replace(node, pool)
    graph.drop_unused()
