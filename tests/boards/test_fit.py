"""What should fit a board, from the measured costs."""

import json

import pytest

from boards.catalog import find_board
from boards.fit import COSTS, available, deviations, estimate, exceeded, largest, measured
from hw.errors import UserError

BOARD = find_board("icepi-zero")


@pytest.mark.parametrize("name", measured())
def test_what_was_built_is_known(name):
    """The board's own core is estimated as it was built, and ``fit`` proposes no smaller one."""
    board = find_board(name)
    own, built = board.config, json.loads(COSTS.read_text())[name]["built"]
    assert estimate(board) == built
    assert not exceeded(board, built)
    proposed, _ = largest(board)
    assert proposed.config.tn * proposed.config.ti >= own.tn * own.ti


@pytest.mark.parametrize("name", measured())
def test_other_cores(name):
    """Without its own measurement, a core's logic is estimated within six percent on average."""
    found = [(config, guess / count - 1) for config, kind, guess, count in deviations(name)
             if kind == "LUT"]  # fmt: skip
    assert len({config for config, _ in found}) >= 3
    assert sum(abs(error) for _, error in found) / len(found) < 0.06, found


def test_estimates_grow():
    """More multipliers take more of everything that they need."""
    small = estimate(BOARD.changed(config=BOARD.config.replace(tn=2, ti=4)))
    large = estimate(BOARD.changed(config=BOARD.config.replace(tn=4, ti=8)))
    assert small["DSP"] == 2 * 4 + 2
    assert large["DSP"] == 4 * 8 + 4
    for kind in ("LUT", "FF"):
        assert small[kind] < large[kind]
    assert estimate(BOARD)["BRAM"] > 32  # 64 KiB of memory alone


def test_largest_uses_the_device():
    """What is proposed fits, with one more output or input it does not; a fixed number is kept."""
    board, counts = largest(BOARD)
    config = board.config
    assert counts == estimate(board)
    assert not exceeded(BOARD, counts)
    assert counts["DSP"] <= available(BOARD)["DSP"]
    assert config.tn <= config.ti <= 4 * config.tn
    for tn, ti in ((config.tn + 1, config.ti), (config.tn, config.ti + 1)):
        assert exceeded(BOARD, estimate(BOARD.changed(config=config.replace(tn=tn, ti=ti))))
    given = BOARD.changed(config=BOARD.config.replace(tn=2))
    fixed, _ = largest(given, fixed=("tn",))
    assert fixed.config.tn == 2
    assert 2 * fixed.config.ti <= config.tn * config.ti


def test_nothing_fits(monkeypatch):
    """The error says what the smallest core would need."""
    monkeypatch.setitem(available(BOARD), "LUT", 100)
    with pytest.raises(UserError, match=r"no 8-bit core should fit icepi-zero: .*\d LUT of 100"):
        largest(BOARD)


def test_a_board_that_was_not_measured():
    with pytest.raises(UserError, match="nothing has been measured of custom; see scripts/board_c"):
        estimate(BOARD.changed(name="custom"))
