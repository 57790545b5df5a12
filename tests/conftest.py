"""Options and fixtures shared by all tests."""

import shutil

import pytest
from hypothesis import HealthCheck, settings

from sim.cosim import SIMULATORS, simulate

# How long something takes depends on the machine and on what else it does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser):
    parser.addoption(
        "--simulator", action="append", choices=SIMULATORS,
        help="run RTL benches only on this simulator (may be given twice; default: all)",
    )  # fmt: skip
    parser.addoption("--waves", action="store_true", help="keep waveforms of RTL benches")


def pytest_generate_tests(metafunc):
    if "simulator" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("simulator") or list(SIMULATORS)
        large = metafunc.definition.get_closest_marker("large") is not None
        metafunc.parametrize(
            "simulator",
            [
                pytest.param(name, marks=pytest.mark.slow if large and name == "verilator" else ())
                for name in chosen
            ],
        )


@pytest.fixture
def bench(simulator, tmp_path, pytestconfig):
    """``bench(component, name, test_module, config)`` runs a cocotb bench on the RTL."""
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed; install it with: apt-get install iverilog")

    def run(component, name, test_module, config=None, **options):
        simulate(
            component, name, test_module, simulator=simulator, work_dir=tmp_path, config=config,
            waves=pytestconfig.getoption("waves"), **options,
        )  # fmt: skip

    return run
