"""The arithmetic units in both simulators, over widths, depths and styles."""

import pytest

from hw.arith.activation import PiecewiseLinear
from hw.arith.multiplier import Multiplier
from hw.arith.requantise import Requantise
from hw.arith.tree import Reduction, ReductionTree

BENCH = "tests.hw.arith.bench_arith"


def run(bench, unit, name, parameters, **more):
    latency = getattr(unit, "latency", 0)
    config = {"unit": name, "parameters": parameters, "latency": latency, **more}
    bench(unit, "unit", BENCH, config)


@pytest.mark.parametrize(
    ("width", "drop", "style", "stages", "lanes"),
    [
        (4, 0, "array", 0, 1),
        (4, 3, "array", 1, 3),
        (4, 4, "array", 2, 2),
        (8, 5, "array", 4, 4),
        (16, 0, "array", 2, 2),
        (16, 8, "array", 2, 2),
        (16, 16, "array", 3, 1),
        (16, 0, "dsp", 3, 1),
        (4, 0, "adders", 0, 2),
        (8, 0, "adders", 2, 1),
        (10, 0, "adders", 1, 1),
    ],
)
def test_multiplier(bench, width, drop, style, stages, lanes):
    parameters = {"width": width, "drop": drop, "style": style, "stages": stages, "lanes": lanes}
    run(bench, Multiplier(**parameters), "multiplier", parameters)


@pytest.mark.parametrize(
    ("operation", "width", "count", "stages"),
    [
        (Reduction.ADD, 5, 1, 0),
        (Reduction.ADD, 8, 3, 1),
        (Reduction.ADD, 32, 16, 2),
        (Reduction.MAX, 16, 7, 5),
        (Reduction.MAX, 8, 4, 0),
    ],
    ids=lambda value: value.name if isinstance(value, Reduction) else str(value),
)
def test_tree(bench, operation, width, count, stages):
    parameters = {"width": width, "count": count, "stages": stages}
    unit = ReductionTree(operation=operation, **parameters)
    run(bench, unit, "tree", parameters, operation=operation.name)


@pytest.mark.parametrize(
    ("input_width", "width", "max_shift", "stages"), [(8, 8, 3, 0), (25, 8, 24, 1), (47, 16, 63, 0)]
)
def test_requantise(bench, input_width, width, max_shift, stages):
    parameters = {
        "input_width": input_width, "width": width, "max_shift": max_shift, "stages": stages
    }  # fmt: skip
    run(bench, Requantise(**parameters), "requantise", parameters)


@pytest.mark.parametrize(
    ("width", "drop", "style", "lanes", "segments", "max_scale", "stages", "paired"),
    [
        (8, 3, "array", 3, 7, 15, 1, False),
        (16, 8, "array", 2, 16, 31, 2, False),
        (16, 0, "dsp", 1, 5, 31, 4, True),
        (16, 0, "dsp", 2, 16, 31, 7, True),
    ],
)
def test_activation(bench, width, drop, style, lanes, segments, max_scale, stages, paired):
    parameters = {
        "width": width, "drop": drop, "style": style, "lanes": lanes, "segments": segments,
        "max_scale": max_scale, "stages": stages, "paired": paired,
    }  # fmt: skip
    run(bench, PiecewiseLinear(**parameters), "activation", parameters)
