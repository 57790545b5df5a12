"""Lower bounds: what no mapping of a layer on a core can undercut."""

from math import prod

from hw.diannao.config import Config
from sim.graph import Add, Conv, Gemm, Graph, LocalConv, Pairwise, Pool
from sim.program import Layer

from .float_graph import FloatGraph, Host
from .windows import covered, taps

__all__ = ["bound_cycles", "host_macs", "layer_of", "limits"]


def limits(layer: Layer, config: Config, memory_bytes_per_cycle: float = 255) -> dict[str, float]:
    """Cycles that a layer takes at least, by resource.

    ``nfu`` counts true MACs at Tn*Ti per cycle (pooling: neurons, one per lane), a port its bytes
    over its width (``bus`` is the shared port), ``memory`` all bytes over the memory's rate.
    """
    ports = {"nbin": config.nbin_port, "sb": config.sb_port, "nbout": config.nbout_port}
    times = {name: 8 * layer.bytes[name] / width for name, width in ports.items()}
    if config.shared_port:
        times = {"bus": sum(times.values())}
    nfu = layer.macs / (config.tn * config.ti) if layer.macs else layer.nfu_steps
    return {"nfu": nfu, **times, "memory": sum(layer.bytes.values()) / memory_bytes_per_cycle}


def bound_cycles(layer: Layer, config: Config, memory_bytes_per_cycle: float = 255) -> float:
    """Lower bound of a layer in cycles: the scarcest of its resources."""
    return max(limits(layer, config, memory_bytes_per_cycle).values())


def layer_of(
    node: Conv | LocalConv | Gemm | Pool | Pairwise, tag: int, graph: Graph, config: Config
) -> Layer:
    """The report entry of a node: true work, and bytes that have to move at least once each way.

    Compulsory are the inputs that some window covers, the weights and biases, and the outputs.
    """
    shapes = {name: tensor.shape for name, tensor in graph.tensors.items()}
    outputs = prod(shapes[node.output])
    macs = weights = 0
    if isinstance(node, Pairwise):
        inputs = sum(prod(shapes[name]) for name in set(node.inputs))
        macs = (1 + isinstance(node, Add)) * outputs
        steps = -(-inputs // config.ti)
    elif isinstance(node, Gemm):
        inputs = prod(shapes[node.input])
        macs = outputs * node.weight.shape[1]
        weights = node.weight.size + 2 * node.bias.size
        steps = -(-macs // (config.tn * config.ti))
    else:
        n, c, *extents = (*shapes[node.input], 1, 1)[:4]
        kernel = node.kernel if isinstance(node, Pool) else node.weight.shape[2:4]
        axes = list(
            zip(extents, (*shapes[node.output], 1, 1)[2:4], kernel, node.strides, node.pads[:2],
                strict=True)
        )  # fmt: skip
        inputs = n * c * prod(covered(*axis) for axis in axes)
        if not isinstance(node, Pool):
            macs = outputs * prod(node.weight.shape[1:4])
            weights = node.weight.size + 2 * node.bias.size
            steps = -(-macs // (config.tn * config.ti))
        else:
            steps = -(-n * c * prod(taps(*axis) for axis in axes) // config.lanes)
    size = config.element_bytes
    moved = {"nbin": inputs * size, "sb": weights * size, "nbout": outputs * size}
    return Layer(tag, node.name, node.op, macs, steps, moved, (node.output,))


def host_macs(node: Host, graph: FloatGraph) -> int:
    """Products that an operator on the host sums up: those of convolutions and matrix products."""
    if node.op.split(".")[-1] not in ("Conv", "LocallyConnected", "Gemm", "MatMul"):
        return 0
    constants, tensors = node.constants, graph.tensors
    first, second = (
        constants[name].shape if name in constants else tensors[name].shape
        for name in node.proto.input[:2]
    )
    if node.op in ("Gemm", "MatMul"):
        transposed = any(a.name == "transA" and a.i for a in node.proto.attribute)
        terms = first[0 if transposed else -1]
    else:
        terms = prod(second[1:] if node.op == "Conv" else second[1:4])
    return prod(tensors[node.output].shape) * terms
