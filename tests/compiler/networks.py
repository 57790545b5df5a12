"""Quantised networks with random weights, and the check that programs compute what golden does."""

from math import prod

import numpy as np

from compiler.lowering import lower
from hw.arith.numbers import Table, bounds
from hw.diannao.config import Config
from sim import golden
from sim.graph import Add, Concat, Conv, Gemm, Graph, LocalConv, Mul, Node, Pool, Tensor
from sim.interpreter import Interpreter, Statistics
from sim.program import Program

__all__ = ["Network", "check"]


class Network:
    """A graph in the making: each method adds a layer with random numbers and names its output.

    Numbers are spread over the whole range and shifts chosen such that few results saturate; tables
    have random segments.
    """

    def __init__(self, config: Config, seed: int):
        self.config = config
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.inputs: list[str] = []
        self.nodes: list[Node] = []

    def numbers(self, width: int, *shape: int) -> np.ndarray:
        """Uniform ``width``-bit integers."""
        low, high = bounds(width)
        return self.rng.integers(low, high + 1, shape)

    def table(self) -> Table:
        """A random activation table of as many segments as the core has, or fewer."""
        width = self.config.width
        segments = int(self.rng.integers(1, self.config.segments + 1))
        return Table(
            tuple(sorted(self.numbers(width, segments - 1).tolist())),
            tuple(self.numbers(width, segments).tolist()),
            tuple(self.numbers(2 * width - 2, segments).tolist()),
            width - 1,
            mirror=None if self.rng.random() < 0.5 else int(self.rng.integers(0, (1 << width) - 1)),
        )

    def _tensor(self, *shape: int) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, tuple(map(int, shape)), frac=8)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def input(self, *shape: int) -> str:
        name = self._tensor(*shape)
        self.inputs.append(name)
        return name

    def _windows(self, x: str, kernel, strides, pads) -> tuple[int, int]:
        """Output extents of windows over ``x``."""
        height, width = self.shape(x)[2:]
        return (
            (height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1,
            (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1,
        )

    def conv(
        self, x: str, outputs: int, kernel=(3, 3), strides=(1, 1), pads=(0, 0, 0, 0), groups=1
    ) -> str:
        batch, channels = self.shape(x)[:2]
        y = self._tensor(batch, outputs, *self._windows(x, kernel, strides, pads))
        weight, bias, shift = self._weights(outputs, channels // groups, *kernel)
        self.nodes.append(
            Conv(f"conv {y}", x, y, weight, bias, strides, pads, shift, self.table(), groups)
        )
        return y

    def local(self, x: str, outputs: int, kernel=(3, 3), strides=(1, 1), pads=(0, 0, 0, 0)) -> str:
        batch, channels = self.shape(x)[:2]
        extent = self._windows(x, kernel, strides, pads)
        y = self._tensor(batch, outputs, *extent)
        _, _, shift = self._weights(outputs, channels, *kernel)
        weight = self.numbers(self.config.width, outputs, channels, *kernel, *extent)
        bias = self.numbers(2 * self.config.width - 2, outputs, *extent)
        self.nodes.append(
            LocalConv(f"local {y}", x, y, weight, bias, strides, pads, shift, self.table())
        )
        return y

    def gemm(self, x: str, outputs: int) -> str:
        y = self._tensor(self.shape(x)[0], outputs)
        weight, bias, shift = self._weights(outputs, prod(self.shape(x)[1:]))
        self.nodes.append(Gemm(f"gemm {y}", x, y, weight, bias, shift, self.table()))
        return y

    def _weights(self, outputs: int, *taps: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Weights, biases and the shift that brings typical sums back to the number range."""
        width = self.config.width
        weight, bias = self.numbers(width, outputs, *taps), self.numbers(2 * width - 2, outputs)
        return weight, bias, width - 1 + (prod(taps) // 4).bit_length() // 2

    def pool(
        self, x: str, kind: str, kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), include_pad=False
    ) -> str:
        batch, channels = self.shape(x)[:2]
        y = self._tensor(batch, channels, *self._windows(x, kernel, strides, pads))
        divisors = [1] if kind == "max" else range(1, prod(kernel) + 1)
        scales = {
            divisor: (0 if kind == "max" else (divisor - 1).bit_length(), self.table())
            for divisor in divisors
        }
        self.nodes.append(Pool(f"pool {y}", x, y, kind, kernel, strides, pads, include_pad, scales))
        return y

    def add(self, a: str, b: str) -> str:
        y = self._tensor(*self.shape(a))
        first, second = self.numbers(self.config.width, 2).tolist()
        self.nodes.append(
            Add(f"add {y}", (a, b), y, (first, second), self.config.width - 1, self.table())
        )
        return y

    def mul(self, a: str, b: str) -> str:
        y = self._tensor(*self.shape(a))
        self.nodes.append(Mul(f"mul {y}", (a, b), y, self.config.width - 2, self.table()))
        return y

    def concat(self, *parts: str) -> str:
        shape = self.shape(parts[0])
        y = self._tensor(shape[0], sum(self.shape(part)[1] for part in parts), *shape[2:])
        self.nodes.append(Concat(f"concat {y}", parts, y))
        return y

    def graph(self, *outputs: str) -> Graph:
        """The graph; without ``outputs``, all tensors that no node reads are its outputs."""
        read = {name for node in self.nodes for name in getattr(node, "inputs", ())}
        read |= {getattr(node, "input", "") for node in self.nodes}
        ends = [name for name in self.tensors if name not in read]
        config = self.config
        return Graph(
            "net", config.width, config.drop, dict(self.tensors), list(self.inputs),
            list(outputs or ends), list(self.nodes),
        )  # fmt: skip


def check(graph: Graph, config: Config, seed: int = 0) -> tuple[Program, Statistics]:
    """Compile ``graph``, run it in the interpreter, and compare every tensor with golden.

    Also compares the work done with what the report says is the least possible.
    """
    rng = np.random.default_rng(seed)
    low, high = bounds(graph.width)
    inputs = {name: rng.integers(low, high + 1, graph.tensors[name].shape) for name in graph.inputs}
    program = lower(graph, config)
    memory = program.memory()
    for name, value in inputs.items():
        program.inputs[name].write(memory, value)
    done = Interpreter(config, memory, seed).run(program.address, 8 * len(program.words))

    expected = golden.run(graph, inputs).tensors
    assert set(program.tensors) == set(expected)
    assert set(program.outputs) == set(graph.outputs)
    for name, layout in program.tensors.items():
        np.testing.assert_array_equal(layout.read(memory), expected[name], err_msg=name)
    for tag, layer in program.layers.items():
        work = done.layers[tag]
        assert work.active >= layer.nfu_steps, layer.name
        assert work.bytes["nbout"] == layer.bytes["nbout"], layer.name
        assert work.bytes["nbin"] >= layer.bytes["nbin"], layer.name
        assert work.bytes["sb"] >= layer.bytes["sb"], layer.name
    return program, done
