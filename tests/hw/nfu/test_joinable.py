"""The NFU whose operators join, in both simulators; its operators, counted."""

import pytest

from hw.inventory import take_inventory
from tests.hw.nfu.unit import NfuUnit

NAMES = ("tn", "ti", "width", "multiplier", "nfu1_stages", "nfu2_stages", "nfu3_stages")
CASES = [(4, 4, 16, "dsp", 3, 3, 3), (2, 2, 8, "array", 1, 1, 1)]


@pytest.mark.large
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_joinable(bench, case):
    chosen = dict(zip(NAMES, case, strict=True))
    shape = {
        "tn": chosen["tn"], "ti": chosen["ti"], "width": chosen["width"], "drop": 0,
        "acc_width": 2 * chosen["width"] + 15, "nbout_rows": 4, "bias_rows": 3, "segments": 5,
    }  # fmt: skip
    unit = NfuUnit(aggregate=True, **shape | chosen)
    bench(unit, "nfu", "tests.hw.nfu.bench_joinable", shape)


def test_operators():
    """A tile's 288 multipliers and 288 adders, 9216 operators in 16 tiles (paper, section V.B.3).

    All of them serve both widths: of 32 bits there are 72 multipliers and 144 adders. Of what is
    not counted, eight adders put together the sums of two trees when they are joined.
    """
    outputs = 16
    nfu = take_inventory(
        NfuUnit(
            tn=outputs, ti=16, width=16, drop=0, multiplier="dsp", acc_width=47, nbout_rows=128,
            bias_rows=64, segments=16, nfu1_stages=3, nfu2_stages=2, nfu3_stages=3, aggregate=True,
        )
    )  # fmt: skip
    pairs = range(outputs // 2)
    trees = [f"nfu.nfu2.trees_{pair}" for pair in pairs]
    accumulators = [nfu.operators[f"nfu.nfu2.adder_{pair}"]["add"] for pair in pairs]
    functions = [nfu.operators[f"nfu.nfu3.functions.pair_{pair}"]["add"] for pair in pairs]
    assert [nfu.count(tree, "add") for tree in trees] == [2 * 15 + 1] * 8
    assert (accumulators, functions) == ([2] * 8, [4] * 8)
    multipliers = nfu.products("nfu.nfu1") + nfu.products("nfu.nfu3")
    adders = 8 * 2 * 15 + sum(accumulators) + sum(functions)
    assert (multipliers, adders) == (288, 288)
    assert 16 * (multipliers + adders) == 9216
