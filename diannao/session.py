"""Session: run an ONNX model on a generated core, with the habits of ONNX Runtime."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from compiler.frontend import load
from compiler.quantise import SaturationWarning
from hw.errors import UserError
from sim import golden, host
from sim.execution import Execution, Progress, Target
from sim.golden import Result
from sim.graph import Graph, Host
from sim.memory import MemorySettings

from .accelerators import MachineConfig, accelerator_of
from .compiled import Compiled, Source, is_batched
from .configs import load_config
from .equality import MismatchError, check_equal
from .files import read_npz
from .interface import Interface, Value
from .report import Record
from .targets import TARGETS, is_board, make_target, open_board

__all__ = ["MismatchError", "Output", "Session", "Value"]


@dataclass(frozen=True)
class Output:
    """One output of a run.

    Parameters
    ----------
    values : what ONNX calls the result (float32)
    integers, frac : the core's raw integers (int64) and their fraction bits; None for what the host
        computed
    """

    values: np.ndarray
    integers: np.ndarray | None
    frac: int | None


def _silent(*_args, **_kwargs) -> None:
    pass


class Session:
    """A model on a core.

    Parameters
    ----------
    model : an .onnx file, its bytes, or a model
    config : name of a configuration, a .toml file, or a Config (default: the paper's 16x16 core,
        or the core that is on the board)
    target : "golden" (numpy integers), "isa" (the program, interpreted), "verilator" or "icarus"
        (the generated Verilog, simulated), a serial port such as "/dev/ttyUSB0" (the board that is
        connected to it), or "sim:BOARD" (a board with its serial line, simulated)
    settings : changes of the configuration, each "KEY=VALUE"
    calibration : sample inputs that decide the fraction bits: arrays by input name, or an .npz
        file. Without it, the inputs of the first run serve.
    preset : one format for all tensors, such as "Q6.10", instead of one for each
    strict : refuse operators that would have to run on the host
    memory : latency and bandwidth of the external memory
    batch : largest number of images in one program; a longer batch runs in several, which is
        possible if the model's axis 0 is open and no operator mixes images
    check : compare every tensor of every layer with golden (simulated targets); this also counts
        values that do not fit their format
    trace : .vcd or .fst file for waveforms, or .json file for a timeline of the units in the format
        that Perfetto opens (target "verilator")
    trace_cycles : first clock cycle that is traced, and the first that is not any more
    progress : see ``sim.execution.Progress``

    Raises
    ------
    UserError
        If model, configuration, target or calibration file cannot be.

    Example
    -------
    >>> session = diannao.Session("model.onnx", config="fpga-8x8", target="verilator")
    >>> outputs = session.run(None, {"x": images})
    >>> session.report["cycles"]
    """

    def __init__(
        self,
        model: Source,
        config: str | os.PathLike | MachineConfig | None = None,
        target: str = "verilator",
        *,
        settings: Sequence[str] = (),
        calibration: Mapping[str, np.ndarray] | str | os.PathLike | None = None,
        preset: str | None = None,
        strict: bool = False,
        memory: MemorySettings | None = None,
        batch: int = 16,
        check: bool = True,
        trace: str | os.PathLike | None = None,
        trace_cycles: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ):
        if target not in TARGETS and not is_board(target):
            raise UserError(
                f"target must be one of {', '.join(TARGETS)}, a serial port or sim:BOARD, "
                f"not {target!r}"
            )
        if trace is not None and target != "verilator":
            raise UserError(f"waveforms need the target verilator, not {target!r}")
        if batch < 1:
            raise UserError(f"batch must be at least 1, not {batch!r}")
        self._progress = progress or _silent
        self._target: Target | None = None
        if is_board(target):
            board = open_board(target, every=check, progress=self._progress)
            self._target = board
            memory = memory or board.memory
            try:
                self.config = load_config(config or board.config, list(settings))
                board.driver.check_config(self.config)
            except UserError:
                board.close()
                raise
        else:
            self.config = load_config(config, list(settings))
        self._source = model
        self._strict = strict
        self._preset = preset
        self._memory = memory or MemorySettings()
        self._largest = batch
        self._check = check
        self._compiled: dict[int, Compiled] = {}
        self._samples: dict[str, np.ndarray] | None = None
        self._float_error: dict[str, float] | None = None

        multiplies = accelerator_of(self.config).multiplies(self.config)
        floats = load(model, batch=1, strict=strict, multiplies=multiplies)
        self._batched = is_batched(floats, 1)
        proto = _proto(model)
        self._interface = Interface(proto, floats, batched=self._batched)
        name = Path(model).name if isinstance(model, str | os.PathLike) else proto.graph.name
        self._record = Record(name, self.config, target, self._memory)
        self._record.host = [{"name": node.name, "op": node.op, "reason": node.reason}
                             for node in floats.host]  # fmt: skip
        if calibration is not None:
            given = isinstance(calibration, Mapping)
            self._samples = dict(calibration) if given else read_npz(Path(calibration))
        self._trace = None if trace is None else Path(trace)
        self._trace_cycles = trace_cycles

    # What ONNX Runtime has, too.

    def get_inputs(self) -> list[Value]:
        """The model's inputs."""
        return list(self._interface.inputs)

    def get_outputs(self) -> list[Value]:
        """The model's outputs."""
        return list(self._interface.outputs)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Outputs as floats, in the order of ``output_names`` (None: all of them).

        Raises
        ------
        UserError
            If an input is missing, unknown, or of another shape or type than the model's; at the
            first run also if the core cannot hold the model, or a simulator is missing.
        MismatchError
            If a simulated target differs from golden anywhere.
        """
        outputs = self.run_fixed(output_names, input_feed)
        return [output.values for output in outputs.values()]

    # What ONNX Runtime has not.

    def build(self) -> None:
        """Build the simulator; otherwise the first run does, once the model is compiled.

        Raises
        ------
        UserError
            If a simulator, or what it needs, is not installed.
        """
        if self._target is None:
            self._target = make_target(
                self._record.target,
                self.config,
                self._memory,
                self._trace,
                self._trace_cycles,
                self._progress,
            )

    def random_inputs(self, images: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
        """Normally distributed inputs, for a model of which no data are at hand."""
        return self._interface.random(images, seed)

    def run_fixed(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray]
    ) -> dict[str, Output]:
        """Like ``run``, with the integers that the floats stand for."""
        known = self._interface.output_names(None)
        wanted = self._interface.output_names(output_names)
        feeds, images = self._interface.feeds(input_feed)
        if self._samples is None:
            self._samples = feeds
        results: dict[str, list[np.ndarray]] = {name: [] for name in known}
        references: dict[str, list[np.ndarray]] = {name: [] for name in known}
        step = self._largest if self._batched and images is not None else images or 1
        total = images or 1
        for start in range(0, total, step):
            count = min(step, total - start)
            piece = feeds
            if images is not None:
                piece = {name: value[start : start + count] for name, value in feeds.items()}
            compiled = self._compile(count)
            self.build()
            place = f"images {start + 1}-{start + count} of {total}"
            for name, value in self._evaluate(compiled, piece, place).items():
                results[name].append(value)
            for name, value in compiled.floating(piece).items():
                references[name].append(value)
        self._record.images += total
        outputs = {}
        for name in known:
            outputs[name] = self._output(name, results[name])
        self._float_error = _float_error(outputs, references)
        return {name: outputs[name] for name in wanted}

    @property
    def report(self) -> dict[str, Any]:
        """What has been run so far: cycles, bound, efficiency, traffic, stalls, layers.

        ``float_error`` is the difference to ONNX Runtime's floats in the last run.
        """
        return self._record.to_json(self._float_error)

    def close(self) -> None:
        """End the simulation (and complete its waveforms)."""
        if self._target is not None:
            self._target.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    # Compilation and execution

    def _compile(self, batch: int) -> Compiled:
        if batch not in self._compiled:
            assert self._samples is not None
            self._progress(f"compiling {self._record.model}")
            compiled = Compiled.make(
                self._source, batch, self._samples, self.config, self._memory,
                strict=self._strict, preset=self._preset,
            )  # fmt: skip
            if self._record.target != "golden":
                _ = compiled.programs  # what cannot be is found before the simulator is built
            self._compiled[batch] = compiled
        return self._compiled[batch]

    def _evaluate(
        self, compiled: Compiled, feeds: dict[str, np.ndarray], place: str
    ) -> dict[str, np.ndarray]:
        """Values of the outputs: integers where they have a ``frac``."""
        graph = compiled.graph
        for layer in compiled.layers:
            self._record.expect(layer)
        values = {}
        for name, value in feeds.items():
            frac = graph.tensors[name].frac
            values[name] = value
            if frac is not None:
                values[name], saturated = host.quantise(value, frac, graph.width)
                self._saturation(name, saturated, value.size)
        expected = None
        if self._check or self._target is None:
            self._progress(f"golden model, {place}")
            expected = golden.run(graph, values)
            self._count_saturation(graph, expected)
        if self._target is None:
            assert expected is not None
            tensors = expected.tensors
        else:
            tensors = self._run_segments(compiled, self._target, values, expected, place)
        return {name: tensors[name] for name in graph.outputs}

    def _run_segments(
        self,
        compiled: Compiled,
        target: Target,
        values: dict[str, np.ndarray],
        expected: Result | None,
        place: str,
    ) -> dict[str, np.ndarray]:
        tensors = dict(values)
        for segment in compiled.segments:
            if isinstance(segment, Host):
                tensors.update(host.evaluate(segment, compiled.graph, tensors)[0])
                continue
            program = compiled.programs[segment.name]
            bound = sum(
                max(
                    accelerator_of(self.config)
                    .limits(layer, self.config, self._memory.bandwidth)
                    .values()
                )
                for layer in program.layers.values()
            )
            self._progress(place, 0, round(bound))
            execution = target.run(program, {name: tensors[name] for name in segment.inputs})
            self._count(execution, segment, compiled)
            if expected is not None:
                count = check_equal(execution, expected.tensors, self._record.target)
                self._record.checked_tensors += count
            tensors.update(execution.tensors)
        return tensors

    def _count(self, execution: Execution, segment: Graph, compiled: Compiled) -> None:
        record = self._record
        if execution.cycles is not None:
            record.cycles = (record.cycles or 0) + execution.cycles
        if execution.seconds is not None:
            record.simulation_seconds = (record.simulation_seconds or 0.0) + execution.seconds
        if execution.link_seconds is not None:
            record.link_seconds = (record.link_seconds or 0.0) + execution.link_seconds
        for stream, count in execution.bytes.items():
            record.bytes[stream] = record.bytes.get(stream, 0) + count
        program = compiled.programs[segment.name]
        for tag, layer in program.layers.items():
            if tag in execution.layers:
                source = execution.layer_source or execution.source
                record.layers[layer.name].count(
                    execution.layers[tag], source, program.accesses.get(tag, {})
                )

    # Saturation

    def _saturation(self, name: str, count: int, size: int) -> None:
        if count:
            known = self._record.saturated
            known[name] = known.get(name, 0) + count
            self._warn(
                f"{count} of {size} values of tensor {name!r} do not fit its format and were "
                "limited"
            )

    @staticmethod
    def _warn(message: str) -> None:
        warnings.warn(message, SaturationWarning, stacklevel=7)

    def _count_saturation(self, graph: Graph, result: Result) -> None:
        for name, count in result.saturated.items():
            self._saturation(name, count, result.tensors[name].size)
        for name, count in result.saturated_sums.items():
            known = self._record.saturated_sums
            known[name] = known.get(name, 0) + count
            self._warn(f"{count} of {result.tensors[name].size} sums of tensor {name!r} do not fit "
                       "the format in front of its activation and were limited")  # fmt: skip

    # Outputs

    def _output(self, name: str, pieces: list[np.ndarray]) -> Output:
        values = _joined(pieces)
        tensor = next(iter(self._compiled.values())).graph.tensors[name]
        if tensor.frac is None:
            return Output(values, None, None)
        floats = host.dequantise(values, tensor.frac).astype(tensor.dtype)
        return Output(floats, values, tensor.frac)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """An output of all runs; a single one may be a scalar."""
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _float_error(
    outputs: dict[str, Output], references: dict[str, list[np.ndarray]]
) -> dict[str, float] | None:
    """Largest and mean absolute difference over the elements of all outputs that are finite."""
    differences = []
    for name, output in outputs.items():
        ours, theirs = output.values.astype(np.float64), _joined(references[name])
        finite = np.isfinite(ours) & np.isfinite(theirs)
        differences.append(np.abs(ours[finite] - theirs[finite]))
    together = np.concatenate(differences)
    if not together.size:
        return None
    return {"max": float(together.max()), "mean": float(together.mean())}


def _proto(source: Source) -> onnx.ModelProto:
    if isinstance(source, onnx.ModelProto):
        return source
    if isinstance(source, bytes):
        return onnx.load_model_from_string(source)
    return onnx.load(source, load_external_data=False)
