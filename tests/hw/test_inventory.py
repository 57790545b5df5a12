"""The paper's figures of the 16x16 machine, counted in the elaborated design."""

import pytest

from hw.diannao.config import CONFIGS
from hw.diannao.core import Core
from hw.inventory import take_inventory

KIB = 8 * 1024


@pytest.fixture(scope="module")
def core():
    return take_inventory(Core(config=CONFIGS["diannao-16x16"]))


def test_operations_per_cycle(core):
    """496 operations in CLASS and CONV, 528 while NFU-3 works too (sections 5.2 and 7.1)."""
    products = core.products("nfu.nfu1")
    trees = [core.count(f"nfu.nfu2.tree_{n}", "add") for n in range(16)]
    assert (products, trees) == (256, [15] * 16)
    assert products + sum(trees) == 496
    lanes = [f"nfu.nfu3.function.lane_{n}" for n in range(16)]
    # a * x + b; rounding has an incrementer besides, which the paper does not count.
    function = [core.products(lane) + core.operators[lane]["add"] for lane in lanes]
    assert function == [2] * 16
    assert products + sum(trees) + sum(function) == 528


def test_storage(core):
    """44 KB: NBin 2, NBout 2, SB 32, instructions 8 (sections 5.1 and 6.3).

    The last row of NBout's output ring sits in the register in front of the store unit. Partial
    sums, which the paper does not tell apart from outputs, keep 47 bits here and are extra.
    """
    output_row = 16 * 16
    nbout = core.memory_bits("nbout.ring") + output_row
    storage = {
        "NBin": core.memory_bits("nbin"),
        "NBout": nbout,
        "SB": core.memory_bits("sb"),
        "instructions": core.memory_bits("control.fetch.buffer"),
    }
    assert storage == {"NBin": 2 * KIB, "NBout": 2 * KIB, "SB": 32 * KIB, "instructions": 8 * KIB}
    assert sum(storage.values()) == 44 * KIB
    assert core.memory_bits("sb") // CONFIGS["diannao-16x16"].sb_rows == 8 * 512
    assert core.memory_bits("nbout.partial") == 64 * 16 * 47
