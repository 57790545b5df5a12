"""The NFU whose operators join, in both simulators; its operators, counted."""

import pytest

from tests.hw.nfu.unit import NfuUnit

NAMES = ("tn", "ti", "width", "multiplier", "nfu1_stages", "nfu2_stages", "nfu3_stages")
CASES = [(4, 4, 16, "dsp", 3, 2, 3), (2, 2, 8, "array", 1, 1, 1), (4, 4, 8, "dsp", 2, 3, 2)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_joinable(bench, case):
    chosen = dict(zip(NAMES, case, strict=True))
    shape = {
        "tn": chosen["tn"], "ti": chosen["ti"], "width": chosen["width"], "drop": 0,
        "acc_width": 2 * chosen["width"] + 15, "nbout_rows": 4, "bias_rows": 3, "segments": 5,
    }  # fmt: skip
    unit = NfuUnit(aggregate=True, **shape | chosen)
    bench(unit, "nfu", "tests.hw.nfu.bench_joinable", shape)
