"""From a quantised graph to a program: memory, code of every node, encoding."""

from math import prod

import numpy as np

from hw.bus.bursts import burst_bytes
from hw.diannao.assembler import encode
from hw.diannao.config import Config
from hw.errors import UserError
from sim.graph import Add, Concat, Conv, Gemm, Graph, LocalConv, Pool
from sim.memory import MemorySettings
from sim.program import Program

from .add import emit_add
from .bound import layer_of
from .conv import emit_conv
from .emitter import Emitter
from .grouping import slices_of
from .layout import Layout, place
from .maps import Map
from .pool import emit_pool
from .private import emit_local

__all__ = ["lower"]


def lower(graph: Graph, config: Config, memory: MemorySettings | None = None) -> Program:
    """Compile a core segment.

    Parameters
    ----------
    graph : quantised graph without Host nodes
    config : the core
    memory : what the tiling assumes about the memory (default: the paper's)

    Raises
    ------
    UserError
        If the graph's numbers are not the core's, or it does not fit the core or its memory.
    """
    memory = memory or MemorySettings()
    if (graph.width, graph.drop) != (config.width, config.drop):
        raise UserError(
            f"graph must be quantised for width={config.width}, drop={config.drop} of the core, "
            f"not for width={graph.width}, drop={graph.drop}"
        )
    layout = place(graph, config, memory)
    # Said before the weights are packed: those of private kernels can be too many for the host too.
    _check_size(graph, layout.end + _weight_bytes(graph, config), config)
    emitter = Emitter(config, cursor=layout.end)
    whole = Graph(graph.name, graph.width, graph.drop, layout.tensors, graph.inputs, graph.outputs)
    layers = {}
    for node in layout.nodes:
        if isinstance(node, Concat):
            continue
        if not isinstance(node, Conv | LocalConv | Gemm | Pool | Add):
            raise UserError(f"{node.op} node {node.name!r} must run on the host")
        emitter.tag = len(layers)
        layers[emitter.tag] = layer_of(node, emitter.tag, whole, config)
        _emit(emitter, node, layout, memory)
    emitter.end()

    words = encode(emitter.instructions)
    # Where a burst begins, so that fetching takes no more bursts than it has to.
    piece = burst_bytes(config.cp_port, config.burst * config.cp_port // 8)
    address = -(-emitter.cursor // piece) * piece
    size = address + 8 * len(words)
    _check_size(graph, size, config)
    tensors = {name: layout.tensor_layout(name, config) for name in layout.maps}
    return Program(
        config=config, words=words, address=address, image=emitter.image, memory_size=size,
        inputs={name: tensors[name] for name in graph.inputs},
        outputs={name: tensors[name] for name in graph.outputs},
        tensors={name: where for name, where in tensors.items() if name in graph.tensors},
        layers=layers,
    )  # fmt: skip


def _weight_bytes(graph: Graph, config: Config) -> int:
    layers = [node for node in graph.nodes if isinstance(node, Conv | LocalConv | Gemm)]
    return sum(node.weight.size for node in layers) * config.element_bytes


def _check_size(graph: Graph, size: int, config: Config) -> None:
    if size > 1 << config.address_width:
        raise UserError(
            f"{graph.name!r} needs {size} bytes of memory, but {config.address_width} address bits "
            f"reach {1 << config.address_width}; set address_width={(size - 1).bit_length()}"
        )


def _emit(
    emitter: Emitter,
    node: Conv | LocalConv | Gemm | Pool | Add,
    layout: Layout,
    memory: MemorySettings,
) -> None:
    target = layout.maps[node.output]
    if isinstance(node, Add):
        a, b = (layout.maps[name] for name in node.inputs)
        emit_add(emitter, node, a, b, target)
        return
    source = layout.maps[node.input]
    if isinstance(node, Pool):
        emit_pool(emitter, node, source, target, memory)
        return
    _check_reduction(node, emitter.config)
    common = {"name": node.name, "shift": node.shift, "table": node.table, "memory": memory}
    if isinstance(node, Gemm):
        source, target, weight = _classifier(node, source, target, emitter.config)
        emit_conv(
            emitter, source=source, target=target, weight=weight, bias=node.bias, strides=(1, 1),
            pads=(0, 0), **common,
        )  # fmt: skip
        return
    if isinstance(node, LocalConv):
        emit_local(emitter, node, source, target, memory)
        return
    size = emitter.config.element_bytes
    for part in slices_of(node, emitter.config):
        emit_conv(
            emitter, source=source.slice(part.first_channel, part.channels, size),
            target=target.slice(part.first_output, part.outputs, size), weight=part.weight,
            bias=part.bias, strides=node.strides, pads=node.pads[:2], **common,
        )  # fmt: skip


def _check_reduction(node: Conv | LocalConv | Gemm, config: Config) -> None:
    terms = prod(node.weight.shape[1:4])
    if terms > config.max_reduction:
        raise UserError(
            f"layer {node.name!r} sums {terms} products per output, but the accumulator holds "
            f"{config.max_reduction}; set max_reduction={terms}"
        )


def _classifier(
    node: Gemm, source: Map, target: Map, config: Config
) -> tuple[Map, Map, np.ndarray]:
    """A classifier layer as a convolution.

    Where an image's pixels follow each other without gaps, the images are the pixels of a 1x1
    convolution, which shares weights between them. Otherwise the kernel covers the whole map.
    """
    outputs = node.weight.shape[0]
    channels, height, width = source.channels, source.height, source.width
    weight = node.weight.reshape(outputs, channels, height, width)
    _, row, pixel = source.pitches
    pixels = height * width
    if pixels == 1 or (
        pixel == channels * config.element_bytes and (height == 1 or row == width * pixel)
    ):
        weight = weight.transpose(0, 2, 3, 1).reshape(outputs, -1, 1, 1)
        source, target = (
            Map(where.address, 1, 1, where.batch, count, (0, 0, where.pitches[0]), where.region)
            for where, count in ((source, pixels * channels), (target, outputs))
        )
    return source, target, weight
