# amaranth: UnusedElaboratable=no
"""A bank of eDRAM, of both kinds, on both simulators; its model watches over the rules."""

import pytest

from hw.dadiannao.edram import MODEL, Edram

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
