"""Random networks on DaDianNao machines, and the check against golden."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.config import CONFIGS, NodeConfig
from hw.errors import UserError
from sim import golden
from sim.dadiannao.interpreter import Machine, Statistics
from sim.dadiannao.program import MachineProgram
from sim.graph import Graph
from tests.compiler.networks import Network

__all__ = ["TINY", "check", "machines", "networks", "run"]

TINY = CONFIGS["dadiannao-tiny"]


@st.composite
def machines(draw, *, nodes: bool = False) -> NodeConfig:
    """Small machines of all shapes, with buffers from ample to barely enough."""
    width = draw(st.sampled_from([16, 8]))
    training = draw(st.booleans())
    drop = 0 if training else draw(st.sampled_from([0, 3, width - 2]))
    lanes = draw(st.sampled_from([2, 4, 8]))
    shape = (
        draw(st.sampled_from([(1, 2), (2, 1), (2, 2), (1, 3), (3, 2), (3, 3)])) if nodes else (1, 1)
    )
    return TINY.replace(
        rows=shape[0], columns=shape[1],
        tiles=draw(st.sampled_from([1, 2, 4, 8])),
        tn=lanes, ti=lanes, width=width, drop=drop, multiplier="array" if drop else "dsp",
        nbin_rows=draw(st.sampled_from([128, 64, 32])),
        nbout_rows=draw(st.sampled_from([32, 7, 4])),
        bias_rows=draw(st.integers(1, 4)),
        sb_rows=4096, central_rows=draw(st.sampled_from([8192, 256])) if nodes else 8192,
        masks=draw(st.sampled_from([64, 16, 9])),
        segments=draw(st.sampled_from([8, 5, 2])),
        trunk=8, aggregate=training, training=training,
    )  # fmt: skip


def _windows(draw, height: int, width: int, *, inside: bool):
    """Kernel, strides and pads that fit a map; ``inside``: every window contains some input."""
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    strides = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    most = [size - 1 if inside else 2 for size in kernel]
    pads = tuple(draw(st.integers(0, most[axis % 2])) for axis in range(4))
    assume(height + pads[0] + pads[2] >= kernel[0] and width + pads[1] + pads[3] >= kernel[1])
    if inside:
        ends = (height, width)
        assume(all(ends[axis] >= pads[axis + 2] for axis in (0, 1)))
        assume(all(
            pads[axis] + ends[axis]
            > (ends[axis] + pads[axis] + pads[axis + 2] - kernel[axis]) // strides[axis]
            * strides[axis]
            for axis in (0, 1)
        ))  # fmt: skip
    return kernel, strides, pads


@st.composite
def networks(draw, config: NodeConfig, layers: int) -> Graph:
    """Layers of all kinds whose inputs are any tensors before them; all tensors are outputs."""
    net = Network(config.core, draw(st.integers(0, 1 << 30)))
    size = st.integers(1, 9)
    names = [net.input(draw(st.integers(1, 3)), draw(size), draw(size), draw(size))]
    for _ in range(layers):
        x = draw(st.sampled_from(names))
        shape = net.shape(x)
        kinds = ["gemm", "add", "concat"] + ["conv", "pool", "conv"] * (len(shape) == 4)
        kinds += ["mul"] * config.training
        kind = draw(st.sampled_from(kinds))
        if kind == "conv":
            groups = draw(st.sampled_from([n for n in range(1, 15) if not shape[1] % n]))
            outputs = groups * draw(st.integers(1, max(1, 24 // groups)))
            parameters = _windows(draw, *shape[2:], inside=False)
            names.append(net.conv(x, outputs, *parameters, groups))
        elif kind == "gemm":
            names.append(net.gemm(x, draw(st.integers(1, 40))))
        elif kind == "pool":
            operation = draw(st.sampled_from(["max", "average"]))
            parameters = _windows(draw, *shape[2:], inside=True)
            names.append(net.pool(x, operation, *parameters, draw(st.booleans())))
        elif kind in ("add", "mul"):
            same = [name for name in names if net.shape(name) == shape]
            names.append(getattr(net, kind)(x, draw(st.sampled_from(same))))
        else:
            like = [
                n for n in names if (net.shape(n)[0], net.shape(n)[2:]) == (shape[0], shape[2:])
            ]
            others = draw(st.lists(st.sampled_from(like), min_size=1, max_size=2))
            assume(sum(net.shape(n)[1] for n in others) < 50)
            names.append(net.concat(x, *others))
    return net.graph(*names[1:])


def run(
    program: MachineProgram, inputs: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Statistics]:
    """Outputs of a program in the interpreter."""
    memory = program.memory()
    for name, value in inputs.items():
        program.inputs[name].write(memory, value)
    machine = Machine(program.config, memory)
    done = machine.run([(address, 8 * len(words)) for address, words in program.nodes])
    return {name: layout.read(memory) for name, layout in program.outputs.items()}, done


def check(graph: Graph, config: NodeConfig, seed: int = 0) -> tuple[MachineProgram, Statistics]:
    """Compile, interpret, and compare every output with golden."""
    rng = np.random.default_rng(seed)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    try:
        program = lower(graph, config)
    except UserError as error:
        # Shapes and numbers that such buffers and blocks cannot hold.
        excuses = (
            "must lie alike", "rows of NBin", "idle multipliers", "rows of a central memory"
        )  # fmt: skip
        assume(not any(excuse in str(error) for excuse in excuses))
        raise
    outputs, done = run(program, inputs)
    expected = golden.run(graph, inputs).tensors
    assert set(outputs) == set(graph.outputs)
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    return program, done
