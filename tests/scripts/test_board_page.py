"""docs/boards.md says what was measured, of the boards as they are."""

import json

import pytest

from boards.catalog import BOARDS
from hw.diannao.config import Config
from scripts.board_page import PAGE, RESULTS, written


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text())


@pytest.mark.parametrize("name", BOARDS)
def test_what_was_built(results, name):
    """It is the board of today that was built; scripts/boards builds it again."""
    board, built = BOARDS[name], results[name]["build"]
    assert Config(**built["configuration"]) == board.config
    assert built["clock_hz"] == board.clock <= built["fmax_hz"]
    assert built["memory"] == board.memory_text


def test_page(results):
    """What is generated of the page is what ``scripts/boards --page`` makes of the numbers; without
    a place for a board, that fails."""
    page = PAGE.read_text()
    assert written(page, results) == page
    for name in BOARDS:
        assert f"$ diannao run models/digits.onnx --target sim:{name}" in page
    with pytest.raises(ValueError, match="must hold the lines <!-- demo of icebreaker --> and"):
        written(page.replace("<!-- demo of icebreaker -->", ""), results)
