"""Measuring a benchmark layer, on the RTL and by the performance model."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from compiler.lowering import lower
from compiler.paper_program import paper_program
from hw.arith.numbers import bounds
from hw.diannao.config import Config
from hw.errors import UserError
from sim import golden
from sim.execution import Activity, Execution, Progress
from sim.graph import Graph
from sim.memory import MemorySettings
from sim.model import Estimate, estimate
from sim.program import Program
from sim.verilator.target import VerilatorTarget

from ..equality import check_equal
from ..report import LayerRecord
from .crop import bound_of, bytes_of, crop
from .graphs import fitted, graph_of, random_numbers
from .layers import Benchmark

__all__ = ["MOST", "Bench", "Measurement", "Modelled"]

MOST = 1_250_000
"""Cycles that a layer may take on the RTL: some 15 s on the paper's core."""


@dataclass(frozen=True)
class Modelled:
    """What the performance model says of a run.

    Parameters
    ----------
    cycles : that it predicts
    seconds : of one processor, that it takes for that
    """

    cycles: int
    seconds: float


@dataclass
class Measurement:
    """What is known of one benchmark layer.

    Parameters
    ----------
    benchmark : the layer in full
    runs : what was run: the layer or a crop of it, and how that went (``source`` says where)
    models : the performance model on each of the runs
    reason : why the layer cannot be run on this core, or nothing
    """

    benchmark: Benchmark
    runs: list[tuple[Benchmark, LayerRecord]] = field(default_factory=list)
    models: list[Modelled] = field(default_factory=list)
    reason: str = ""

    def to_json(self) -> Iterator[dict[str, Any]]:
        """Entries of the report's ``layers``, one for each run."""
        layer = self.benchmark
        for (measured, entry), model in zip(self.runs, self.models, strict=True):
            yield {
                **entry.to_json(), "shape": measured.shape, "memory": asdict(layer.memory),
                "crop": None if measured == layer else list(measured.output_size),
                "model": asdict(model),
            }  # fmt: skip


class Bench:
    """Measures layers on one core. Every tensor of every run is compared with golden.

    Parameters
    ----------
    config : the core
    bandwidth, latency : of the memory, instead of what each layer declares
    most : layers whose bound is longer run on the RTL cropped to so many cycles
    model_only : the performance model for everything, no RTL
    progress : see ``sim.execution.Progress``
    """

    def __init__(
        self,
        config: Config,
        *,
        bandwidth: int | None = None,
        latency: int | None = None,
        most: int = MOST,
        model_only: bool = False,
        progress: Progress | None = None,
    ):
        self.config = config
        self._memory: dict[str, int] = {}
        if bandwidth is not None:
            self._memory["bandwidth"] = bandwidth
        if latency is not None:
            self._memory["latency"] = latency
        self._most = most
        self._model_only = model_only
        self._progress = progress or (lambda what, done=0, total=None: None)
        self._targets: dict[MemorySettings, VerilatorTarget] = {}

    def measure(self, benchmark: Benchmark) -> Measurement:
        """Run a layer on the RTL; one that is too long as a crop, and in full in the model.

        Raises
        ------
        MismatchError
            If the RTL differs from golden anywhere.
        """
        memory = replace(benchmark.memory, **self._memory)
        layer = replace(fitted(benchmark, self.config), memory=memory)
        result = Measurement(layer)
        try:
            cut = layer if self._model_only else crop(layer, self.config, self._most)
            if not self._model_only:
                self._run(cut, result)
            if self._model_only or cut != layer:
                self._estimate(layer, result)
        except UserError as error:
            result.reason = str(error)
        return result

    def close(self) -> None:
        """Free the simulators."""
        for target in self._targets.values():
            target.close()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _run(self, layer: Benchmark, result: Measurement) -> None:
        """Run a layer on the RTL, and in the model to compare."""
        name = layer.name
        self._progress(f"{name}: compiling")
        graph = graph_of(layer, self.config, random_numbers(0))
        program = program_of(layer, graph, self.config)
        self._progress(f"{name}: golden model")
        low, high = bounds(self.config.width)
        rng = np.random.default_rng(1)
        inputs = {"x": rng.integers(low, high, graph.tensors["x"].shape, endpoint=True)}
        expected = golden.run(graph, inputs).tensors
        target = self._target(layer.memory)
        self._progress(name, 0, round(bound_of(layer, self.config)))
        execution = target.run(program, inputs)
        check_equal(execution, expected, "verilator")
        result.runs.append((layer, record(program, execution, layer.memory)))
        result.models.append(modelled(program, layer.memory)[1])

    def _estimate(self, layer: Benchmark, result: Measurement) -> None:
        """A layer in the model only."""
        self._progress(f"{layer.name}: performance model")
        graph = graph_of(layer, self.config)
        need, reach = bytes_of(layer, self.config), 1 << self.config.address_width
        if need > reach:
            raise UserError(
                f"all of it takes {need:.3g} bytes of memory, {self.config.address_width} address "
                f"bits reach {reach:.3g}"
            )
        program = program_of(layer, graph, self.config)
        prediction, model = modelled(program, layer.memory)
        result.runs.append((layer, record(program, prediction, layer.memory)))
        result.models.append(model)

    def _target(self, memory: MemorySettings) -> VerilatorTarget:
        if memory not in self._targets:
            target = VerilatorTarget(self.config, memory, progress=self._progress)
            self._targets[memory] = target
        return self._targets[memory]


def program_of(layer: Benchmark, graph: Graph, config: Config) -> Program:
    """The program that computes ``graph``, the layer's graph."""
    if layer.kind == "program":
        return paper_program(graph, config)
    return lower(graph, config, layer.memory)


def modelled(program: Program, memory: MemorySettings) -> tuple[Estimate, Modelled]:
    """The performance model's prediction, and what that took."""
    start = time.process_time()
    prediction = estimate(program, memory=memory)
    return prediction, Modelled(prediction.cycles, time.process_time() - start)


def record(program: Program, run: Execution | Estimate, memory: MemorySettings) -> LayerRecord:
    """The whole run of a program of one layer, from its start to its end."""
    (layer,) = program.layers.values()
    entry = LayerRecord(layer.name, layer.op)
    entry.expect(layer, program.config, memory)
    stalls: Counter[str] = Counter()
    for activity in run.layers.values():
        stalls.update(activity.stalls)
    active = sum(activity.active for activity in run.layers.values())
    assert run.cycles is not None
    source = run.source if isinstance(run, Execution) else "model"
    entry.count(Activity(run.cycles, active, dict(stalls), run.bytes), source, {})
    return entry
