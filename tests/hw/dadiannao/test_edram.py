# amaranth: UnusedElaboratable=no
"""A bank of eDRAM, of both kinds, on both simulators; its model watches over the rules."""

from typing import Any

import pytest
from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.dadiannao.edram import MACRO, MODEL, Edram
from sim.cosim import simulate

BANKS = [
    {"rows": 16, "width": 20, "latency": 3, "restore": 1, "refresh_interval": 64},
    {"rows": 5, "width": 7, "latency": 1, "restore": 0, "refresh_interval": 0},
    {"rows": 8, "width": 33, "latency": 10, "restore": 8, "refresh_interval": 70},
]


def name(bank) -> str:
    return f"{bank['latency']}-{bank['restore']}-{bank['refresh_interval']}"


@pytest.mark.parametrize(
    ("bank", "memory"),
    [(BANKS[0], "ram"), *((bank, "macro") for bank in BANKS)],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_edram(bench, bank, memory):
    models = {"models": [MODEL]} if memory == "macro" else {}
    bench(Edram(memory=memory, **bank), "edram", "tests.hw.dadiannao.bench_edram", bank, **models)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": "dram"}, 'memory must be "ram" or "macro", not \'dram\''),
        ({"rows": 1}, "rows, latency and restore must be at least 2, 1 and 0, not 1, 3 and 1"),
        ({"latency": 0}, "rows, latency and restore must be at least 2, 1 and 0, not 16, 0 and 1"),
        ({"refresh_interval": 5}, r"must be 0, or at least 2 \* restore \+ 4 \(6\), not 5"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Edram(**{"memory": "ram", **BANKS[0], **changes})


class Macro(wiring.Component):
    """The black box and nothing else."""

    def __init__(self, **parameters: int):
        self._parameters = {f"p_{name.upper()}": value for name, value in parameters.items()}
        width, row = parameters["width"], range(parameters["rows"])
        commands = dict.fromkeys(("read", "write", "restore", "refresh"), In(1))
        ports: Any = {"row": In(row), **commands, "data_in": In(width), "data_out": Out(width)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        ports = {
            f"{'i' if member.flow is In else 'o'}_{name}": getattr(self, name)
            for name, member in self.signature.members.items()
        }
        m.submodules.macro = Instance(MACRO, i_clk=ClockSignal(), **ports, **self._parameters)
        return m


@pytest.mark.parametrize(
    "case", ["good", "not_restored", "two_commands", "no_such_row", "late_refresh"]
)
def test_model_stops_who_breaks_its_rules(tmp_path, capfd, case):
    """Icarus only: a build for each case would be dear in Verilator."""
    bank = {"rows": 5, "width": 8, "latency": 1, "restore": 2, "refresh_interval": 16}
    said = {
        "not_restored": "row 1 is not restored", "two_commands": "more than one command",
        "no_such_row": "there is no row 5", "late_refresh": "no refresh in 16 cycles",
    }  # fmt: skip

    def run():
        simulate(
            Macro(**bank), "macro", "tests.hw.dadiannao.bench_edram_rules", simulator="icarus",
            work_dir=tmp_path, config=bank, models=[MODEL], testcase=case,
        )  # fmt: skip

    if case == "good":
        run()
    else:
        with pytest.raises(RuntimeError):
            run()
        assert said[case] in capfd.readouterr().out
