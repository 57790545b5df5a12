"""The NFU in both simulators, over sizes, formats and pipeline depths."""

import pytest

from tests.hw.nfu.unit import NfuUnit

NAMES = (
    "tn", "ti", "width", "drop", "multiplier", "nfu1_stages", "nfu2_stages", "nfu3_stages",
    "nfu3_lanes", "paced",
)  # fmt: skip
CASES = [
    (1, 1, 16, 16, "array", 1, 1, 1, 0, False),
    (2, 4, 16, 0, "dsp", 3, 2, 3, 1, False),
    (3, 5, 8, 5, "array", 2, 3, 2, 0, False),
    (4, 2, 8, 8, "array", 4, 1, 5, 0, False),
    (4, 2, 16, 5, "array", 3, 4, 4, 2, False),
    (4, 3, 8, 0, "dsp", 2, 3, 10, 1, True),
]


def parameters(case) -> dict:
    chosen = dict(zip(NAMES, case, strict=True))
    return chosen | {
        "acc_width": 2 * chosen["width"] + 9,
        "nbout_rows": 4 if chosen["tn"] > 1 else 2,
        "bias_rows": 3 if chosen["tn"] > 1 else 1,
        "segments": {1: 2, 2: 16, 3: 7, 4: 5}[chosen["tn"]],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_nfu(bench, case):
    chosen = parameters(case)
    own = ("multiplier", "nfu1_stages", "nfu2_stages", "nfu3_stages", "nfu3_lanes", "paced")
    unit = NfuUnit(**chosen)
    config = {
        "shape": {name: value for name, value in chosen.items() if name not in own},
        "latency": unit.latency,
        "paced": chosen["paced"],
        "interval": chosen["tn"] // (chosen["nfu3_lanes"] or chosen["tn"]),
    }
    bench(unit, "nfu", "tests.hw.nfu.bench_nfu", config)
