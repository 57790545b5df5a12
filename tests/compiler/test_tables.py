"""Activation tables against the true functions, over all inputs."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.functions import IDENTITY, Clip, Function, LeakyRelu, Linear, Power, Sigmoid, Tanh
from compiler.tables import fit, table_error
from hw.arith.numbers import activate, bounds
from hw.errors import UserError

RELU = Function((LeakyRelu(),))
HARD_SIGMOID = Function((Linear(0.2, 0.5), Clip(0.0, 1.0)))
SIGMOID = Function((Sigmoid(),))
TANH = Function((Tanh(),))
Q6_10 = {"input_frac": 10, "output_frac": 10, "width": 16}


def errors(function, *, segments=16, drop=0, **formats):
    table = fit(function, drop=drop, segments=segments, **formats)
    assert table.segments == segments
    return table_error(table, function, drop=drop, **formats)


@pytest.mark.parametrize(
    ("function", "required", "reached"), [(SIGMOID, 2.0, 0.88), (TANH, 3.0, 1.27)]
)
def test_sigmoid_and_tanh_in_q6_10(function, required, reached):
    """Sixteen segments keep the promise, and come within rounding of the best possible fit."""
    most, mean = errors(function, **Q6_10)
    print(f"{function.steps}: max {most:.3f}, mean {mean:.3f} LSB")
    assert most <= reached <= required
    assert mean <= 0.14


@pytest.mark.parametrize("drop", range(15))
@pytest.mark.parametrize("function", [IDENTITY, RELU, Function((Clip(0.0, 6.0),))])
def test_selecting_functions_are_exact(function, drop):
    """Identity, ReLU and clip give the exact integer for all x, whatever the multiplier drops."""
    assert errors(function, drop=drop, **Q6_10) == (0.0, 0.0)


@pytest.mark.parametrize("drop", [0, 3, 6])
def test_exact_in_8_bits(drop):
    formats = {"input_frac": 5, "output_frac": 5, "width": 8}
    assert errors(RELU, drop=drop, **formats) == (0.0, 0.0)
    assert errors(IDENTITY, drop=drop, segments=2, **formats) == (0.0, 0.0)


@pytest.mark.parametrize("shift", [-3, 2])
def test_power_of_two_rescaling_rounds_exactly(shift):
    """Between formats that differ by a power of two the table is a shift with rounding."""
    function = IDENTITY
    table = fit(function, input_frac=10, output_frac=10 + shift, width=16, drop=0, segments=16)
    x = np.arange(-(1 << 15), 1 << 15)
    scaled = x << shift if shift > 0 else (x + (1 << (-shift - 1))) >> -shift
    assert np.array_equal(activate(x, table, 16, 0), np.clip(scaled, *bounds(16)))


@pytest.mark.parametrize(
    "function",
    [
        Function((LeakyRelu(0.01),)),
        HARD_SIGMOID,
        Function((Linear(1 / 9),)),
        Function((Linear(1 / 49), LeakyRelu())),
        Function((LeakyRelu(0.1), Linear(-0.7, 0.3))),
    ],
)
@pytest.mark.parametrize("drop", [0, 8])
def test_piecewise_linear_functions_are_off_by_rounding_only(function, drop):
    """Spare segments absorb what the rounded slopes of steep-free functions lose."""
    most, mean = errors(function, drop=drop, **Q6_10)
    assert most <= 0.55
    assert mean <= 0.26


@pytest.mark.parametrize("function", [SIGMOID, TANH, HARD_SIGMOID])
@pytest.mark.parametrize(("input_frac", "output_frac"), [(12, 15), (13, 14), (9, 12), (11, 15)])
def test_fine_formats_cost_no_accuracy(function, input_frac, output_frac):
    """In other formats the error is that of Q6.10, in real terms, plus rounding."""
    most, _ = errors(function, input_frac=input_frac, output_frac=output_frac, width=16)
    assert most * 2.0**-output_frac <= 0.8 * 2.0**-10 + 2 * 2.0**-output_frac


def test_mirrored_tables_are_symmetric():
    table = fit(TANH, drop=0, segments=16, **Q6_10)
    x = np.arange(1, 1 << 15)
    high, low = activate(x, table, 16, 0), activate(-x, table, 16, 0)
    assert table.mirror == 0
    assert np.abs(high + low).max() <= 1  # the segment of ~x, and ties when rounding
    assert np.mean(high + low != 0) < 0.01
    table = fit(SIGMOID, input_frac=12, output_frac=15, width=16, drop=0, segments=16)
    assert table.mirror == 1 << 15  # one, which the output itself cannot reach


def test_truncation_is_centred():
    """The offsets take up the mean error of the truncated multiplier, on both sides of zero."""
    for function in (SIGMOID, TANH, Function((LeakyRelu(0.3),))):
        exact, _ = errors(function, drop=0, **Q6_10)
        truncated, _ = errors(function, drop=8, **Q6_10)
        assert truncated <= exact + 0.05
    assert errors(TANH, drop=12, **Q6_10)[0] < 1.9
    assert errors(TANH, drop=14, **Q6_10)[0] < 4.8


@settings(max_examples=30, deadline=None)
@given(
    low=st.integers(-20, 18),
    size=st.integers(1, 20),
    scale=st.floats(-4, 4).filter(lambda scale: abs(scale) > 0.01),
    frac=st.integers(6, 12),
)
def test_any_scaled_clip(low, size, scale, frac):
    """Clipped lines with any slope stay within rounding of what was asked."""
    function = Function((Linear(scale), Clip(float(low), float(low + size))))
    table = fit(function, input_frac=frac, output_frac=frac, width=16, drop=0, segments=16)
    most, _ = table_error(table, function, input_frac=frac, output_frac=frac, width=16, drop=0)
    assert most <= 0.75


def test_few_segments():
    """Too few segments for the kinks are refused; as many as kinks ask for are enough."""
    with pytest.raises(UserError, match="segments must be at least 3"):
        fit(HARD_SIGMOID, drop=0, segments=2, **Q6_10)
    assert errors(HARD_SIGMOID, segments=3, **Q6_10)[0] <= 0.75
    assert errors(SIGMOID, segments=2, **Q6_10)[0] < 35
    assert errors(SIGMOID, segments=64, **Q6_10)[0] < 0.55


def test_impossible_slope():
    with pytest.raises(UserError, match="slopes up to 32767, not 65536"):
        fit(IDENTITY, input_frac=0, output_frac=16, width=16, drop=0, segments=16)


def test_fits_are_fast():
    """A network has a table per layer: 0.2 s each, and the same one again costs nothing."""
    fit.cache_clear()
    start = time.process_time()
    table = fit(TANH, input_frac=12, output_frac=15, width=16, drop=8, segments=16)
    assert time.process_time() - start < 0.2
    assert fit(TANH, input_frac=12, output_frac=15, width=16, drop=8, segments=16) is table


# Functions


def test_chains():
    """Composition merges linear steps, drops identities, and refuses two curved steps."""
    double = Function((Linear(2.0, 1.0),))
    assert double.then(Function((Linear(0.5, -0.5),))) == IDENTITY
    assert double.then(RELU)(np.array([-1.0, 2.0])).tolist() == [0.0, 5.0]
    assert RELU.then(SIGMOID).accepts(double)
    assert not SIGMOID.accepts(TANH)
    with pytest.raises(ValueError, match="at most one curved step"):
        SIGMOID.then(TANH)


def test_properties_of_functions():
    assert RELU.selects
    assert Function((Clip(-1, 1),)).selects
    assert IDENTITY.selects
    assert not HARD_SIGMOID.selects
    assert not Function((LeakyRelu(0.1),)).selects
    assert RELU.nonnegative
    assert SIGMOID.nonnegative
    assert HARD_SIGMOID.nonnegative
    assert not TANH.nonnegative
    assert not IDENTITY.nonnegative
    assert HARD_SIGMOID.steepest == pytest.approx(0.2)
    assert Function((Linear(-3.0), Sigmoid())).steepest == pytest.approx(0.75)
    power = Function((Clip(2.0, np.inf), Power(-0.75, 2.0)))
    assert power.nonnegative
    assert power.steepest == pytest.approx(0.75 * 2**-1.75)
    assert power(np.array([-1.0, 4.0])) == pytest.approx([2**-0.75, 4**-0.75])
    x = np.arange(-50, 51) / 10
    assert [x[i] for i in power.pieces(x)] == [-5.0, 2.0]
    assert HARD_SIGMOID.pieces(x) == [0, 25, 75]
    assert [x[i] for i in HARD_SIGMOID.pieces(x)] == [-5.0, -2.5, 2.5]
