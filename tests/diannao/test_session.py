"""Session: what it shares with ONNX Runtime's, and that all targets say the same integers."""

import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest

import diannao
from compiler.quantise import SaturationWarning
from diannao import MismatchError, Session, UserError
from diannao import session as session_module
from sim.isa import IsaTarget
from tests.compiler.onnx_models import node, onnx_model, weights

from .models import convolution, images, network

TARGETS = ("golden", "isa", "verilator")


def open_session(model=None, target="golden", **options) -> Session:
    return Session(model or network(), "tiny", target, **options)


def reference(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


# The habits of ONNX Runtime


@pytest.mark.parametrize("batch", ["N", 2])
def test_inputs_and_outputs_are_described_as_by_onnx_runtime(batch):
    model = network(batch)
    ours, theirs = open_session(model), reference(model)
    for mine, other in (
        (ours.get_inputs(), theirs.get_inputs()),
        (ours.get_outputs(), theirs.get_outputs()),
    ):
        assert [(v.name, v.type) for v in mine] == [(v.name, v.type) for v in other]
        assert [v.shape for v in mine] == [v.shape for v in other]


def test_output_names_choose_and_order():
    session, x = open_session(), images(2)
    y, p = session.run(None, {"x": x})
    assert (y.shape, p.shape) == ((2, 5), (2, 4, 3, 3))
    assert y.dtype == p.dtype == np.float32
    again = session.run(["p", "y"], {"x": x})
    np.testing.assert_array_equal(again[0], p)
    np.testing.assert_array_equal(again[1], y)
    (only,) = session.run(["y"], {"x": x})
    np.testing.assert_array_equal(only, y)
    assert session.run([], {"x": x}) == []


def test_results_are_near_those_of_onnx_runtime():
    x = images(4)
    session = open_session()
    got = session.run(None, {"x": x})
    expected = reference(network()).run(None, {"x": x})
    errors = [np.abs(a - np.asarray(b)).max() for a, b in zip(got, expected, strict=True)]
    assert 0 < max(errors) < 0.01
    assert session.report["float_error"]["max"] == pytest.approx(max(errors), rel=1e-6)


def test_any_source_of_the_model(tmp_path):
    model = network()
    path = tmp_path / "network.onnx"
    onnx.save(model, path)
    results = []
    for source in (model, model.SerializeToString(), path, str(path)):
        session = Session(source, "tiny", "golden")
        results.append(session.run(["y"], {"x": images(1)})[0])
    assert session.report["model"] == "network.onnx"
    assert all((result == results[0]).all() for result in results)


WRONG = [
    ({"image": images(1)}, r"there is no input 'image'; expected: 'x' float32 \[N, 3, 6, 6\]"),
    ({}, r"input 'x' is missing; expected: 'x' float32 \[N, 3, 6, 6\]"),
    (
        {"x": images(1)[..., :5]},
        r"input must be 'x' float32 \[N, 3, 6, 6\], not float32 \[1, 3, 6, 5\]",
    ),
    ({"x": images(1)[0]}, r"input must be 'x' float32 \[N, 3, 6, 6\], not float32 \[3, 6, 6\]"),
    (
        {"x": images(1).astype(np.float64)},
        r"input must be 'x' float32 \[N, 3, 6, 6\], not float64 \[1, 3, 6, 6\]",
    ),
    ({"x": images(0)}, "input 'x' must hold at least one image"),
    ({"x": images(1) * np.float32(np.nan)}, "input 'x' must be finite"),
    ({"x": np.full((1, 3, 6, 6), np.inf, np.float32)}, "input 'x' must be finite"),
]


@pytest.mark.parametrize(("feed", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_inputs(feed, message):
    with pytest.raises(UserError, match=f"^{message}"):
        open_session().run(None, feed)


def test_fixed_batch():
    session = open_session(network(2))
    with pytest.raises(UserError, match=r"must be 'x' float32 \[2, 3, 6, 6\], not float32 \[3, "):
        session.run(None, {"x": images(3)})
    session.run(None, {"x": images(2)})


def test_inputs_of_unequal_batch():
    model = onnx_model(
        [node("Add", ["a", "b"], ["y"])], {"a": ("N", 3, 4, 4), "b": ("N", 3, 4, 4)}, {"y": 4}
    )
    a = weights(2, 3, 4, 4)
    with pytest.raises(UserError, match=r"equally many images, not {'a': 2, 'b': 1}"):
        open_session(model).run(None, {"a": a, "b": a[:1]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": "modelsim"},
            "target must be one of golden, .*, a serial port or sim:BOARD, not 'mod",
        ),
        ({"trace": "x.vcd"}, "waveforms need the target verilator, not 'golden'"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"settings": ["tn=0"]}, "tn must be 1 to 256, not 0"),
    ],
    ids=["target", "trace", "batch", "settings"],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        open_session(**options)


def test_unknown_output():
    with pytest.raises(UserError, match="there is no output 'z'; the model has y, p"):
        open_session().run(["z"], {"x": images(1)})


# Targets


@pytest.mark.parametrize("target", TARGETS)
def test_targets_agree_for_all_batches(target):
    """Any number of images, cut into programs of two, gives the integers of golden in one piece."""
    x = images(5)
    whole = open_session(calibration={"x": x}).run_fixed(None, {"x": x})
    with open_session(target=target, calibration={"x": x}, batch=2) as session:
        for count in (5, 1, 2):
            got = session.run_fixed(None, {"x": x[:count]})
            for name, output in got.items():
                expected = whole[name].integers
                assert output.integers is not None
                assert expected is not None
                assert output.frac == whole[name].frac
                np.testing.assert_array_equal(output.integers, expected[:count], err_msg=name)
        report = session.report
    assert report["images"] == 8
    # Three tensors of layers per program (5 = 2 + 2 + 1 images, then 1, then 2), and its input.
    assert report["checked_tensors"] == (0 if target == "golden" else 5 * 4)


def test_floats_are_the_integers_scaled():
    outputs = open_session().run_fixed(None, {"x": images(2)})
    for output in outputs.values():
        assert output.integers is not None
        assert output.frac is not None
        np.testing.assert_array_equal(output.values, output.integers / 2.0**output.frac)


def test_images_that_are_mixed_are_not_cut():
    """A host operator over the batch axis sees all images at once, however long the batch is."""
    model = convolution(None, node("Softmax", ["c"], ["y"], "mix", axis=0))
    x = images(3)
    got = open_session(model, batch=1).run(None, {"x": x})
    expected = reference(model).run(None, {"x": x})
    np.testing.assert_allclose(got[0], np.asarray(expected[0]), atol=1e-3)


def test_host_operators_between_layers():
    model = convolution(
        None,
        node("Softmax", ["c"], ["s"], "soft", axis=1),
        node("MaxPool", ["s"], ["y"], "pool", kernel_shape=[2, 2]),
    )
    x = images(2)
    integers = []
    for target in TARGETS:
        with open_session(model, target) as session:
            (output,) = session.run_fixed(None, {"x": x}).values()
            integers.append(output.integers)
            (host,) = session.report["host"]
            assert (host["name"], host["op"]) == ("soft", "Softmax")
    np.testing.assert_array_equal(integers[1], integers[0])
    np.testing.assert_array_equal(integers[2], integers[0])


# Report


def test_report_of_the_rtl():
    with open_session(target="verilator") as session:
        session.run(None, {"x": images(2)})
        once = session.report
        session.run(None, {"x": images(2)})
        report = session.report
    assert json.loads(json.dumps(report)) == report
    assert [layer["name"] for layer in report["layers"]] == ["conv", "pool", "classifier"]
    assert {layer["source"] for layer in report["layers"]} == {"rtl"}
    # 2 runs of 2 images; 4 maps of 6 x 6 from 3 x 3 x 3 taps, and 5 outputs of 36 inputs.
    assert report["macs"] == 4 * (4 * 36 * 27 + 5 * 36)
    for layer in report["layers"]:
        assert layer["cycles"] >= layer["nfu_active"] + sum(layer["stalls"].values())
        assert layer["efficiency"] == pytest.approx(
            layer["bound_cycles"] / layer["cycles"], rel=1e-2
        )
        assert 0 < layer["efficiency"] < 1
    assert report["cycles"] >= sum(layer["cycles"] for layer in report["layers"])
    assert report["cycles"] > once["cycles"] > 0
    assert report["bytes"]["nbout"] == 2 * 2 * 2 * (4 * 36 + 4 * 9 + 5)
    for port in ("nbin", "sb"):
        least = sum(layer["compulsory_bytes"][port] for layer in report["layers"])
        assert report["bytes"][port] >= least > 0
    assert report["simulation_seconds"] > 0


def test_report_without_a_clock():
    with open_session(target="isa") as session:
        session.run(None, {"x": images(1)})
        report = session.report
    assert (report["cycles"], report["efficiency"]) == (None, None)
    for layer in report["layers"]:
        assert layer["source"] == "isa"
        assert layer["cycles"] > 0
        assert layer["efficiency"] is None


def test_first_run_calibrates():
    """Later, larger numbers saturate; they are counted, and warned about by name."""
    session = open_session()
    session.run(None, {"x": images(2)})
    assert session.report["saturated"] == {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.run(None, {"x": images(2, scale=100)})
        once = session.report["saturated"]["x"]
        session.run(None, {"x": images(2, scale=100)})
    assert once > 150
    assert session.report["saturated"]["x"] == 2 * once
    assert {warning.category for warning in caught} == {SaturationWarning}
    messages = [str(warning.message) for warning in caught]
    about_input = f"{once} of 216 values of tensor 'x' do not fit its format and were limited"
    assert messages.count(about_input) == 2


@pytest.mark.parametrize("target", ["golden", "isa"])
def test_saturated_results_are_counted(target):
    session = open_session(convolution(10 * weights(4, 3, 3, 3)), target, preset="Q4.12")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (output,) = session.run_fixed(None, {"x": images(3)}).values()
    assert output.integers is not None
    limited = np.isin(output.integers, (-(1 << 15), (1 << 15) - 1)).sum()
    assert 0 < limited < 192
    assert session.report["saturated_sums"] == {"y": limited}
    messages = [str(warning.message) for warning in caught]
    assert messages[0].startswith("tensor 'y' reaches ")
    assert messages[1:] == [
        f"{limited} of 192 sums of tensor 'y' do not fit the format in front of its activation and "
        "were limited"
    ]


def test_harmless_saturation_is_not_warned_about():
    """A sigmoid, and the lower end of Relu, are flat where their inputs were limited."""
    for op, scale in (("Sigmoid", 10), ("Relu", -10)):
        model = convolution(scale * np.abs(weights(4, 3, 3, 3)), node(op, ["c"], ["y"]))
        session = open_session(model, preset="Q4.12")
        session.run(None, {"x": np.abs(images(3))})
        assert session.report["saturated_sums"] == {}
        assert session.report["float_error"]["max"] < 0.01


def test_calibration_from_a_file_is_that_from_arrays(tmp_path):
    samples = images(3, seed=7, scale=3)
    np.savez(tmp_path / "samples.npz", x=samples)
    outputs = [
        open_session(calibration=calibration).run_fixed(["y"], {"x": images(1)})["y"]
        for calibration in ({"x": samples}, tmp_path / "samples.npz", None)
    ]
    np.testing.assert_array_equal(outputs[0].integers, outputs[1].integers)
    assert outputs[0].frac == outputs[1].frac
    assert outputs[0].frac < outputs[2].frac  # type: ignore[operator]


def test_preset():
    (output,) = open_session(preset="Q6.10").run_fixed(["y"], {"x": images(1)}).values()
    assert output.frac == 10


def test_a_target_that_errs_is_found(monkeypatch):
    """One wrong bit in any tensor of a layer."""

    class Wrong(IsaTarget):
        def run(self, program, inputs):
            execution = super().run(program, inputs)
            execution.tensors["p"][0, 2, 1, 0] ^= 1
            return execution

    monkeypatch.setattr(session_module, "make_target", lambda *_: Wrong(diannao.CONFIGS["tiny"]))
    message = r"^isa differs from golden in 1 of 36 elements of tensor 'p', first at \(0, 2, 1, 0\)"
    with pytest.raises(MismatchError, match=message):
        open_session(target="isa").run(None, {"x": images(1)})
    open_session(target="isa", check=False).run(None, {"x": images(1)})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("max_reduction=20", "'conv' adds up 27 values; the core 'custom' holds sums"),
        ("address_width=16", "but 16 address bits reach 65536; set address_width="),
    ],
    ids=["quantiser", "lowering"],
)
def test_mistakes_show_before_the_simulator_is_built(monkeypatch, setting, message):
    monkeypatch.setattr(session_module, "make_target", lambda *_: pytest.fail("was built"))
    session = open_session(target="verilator", settings=[setting], batch=300)
    with pytest.raises(UserError, match=message):
        session.run(None, {"x": images(150)})


def test_progress_is_told():
    told = []
    with open_session(target="isa", progress=lambda what, *_: told.append(what)) as session:
        session.run(None, {"x": images(1)})
    assert "golden model, images 1-1 of 1" in told
    assert any(what.startswith("compiling") for what in told)
