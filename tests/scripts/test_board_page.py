"""docs/boards.md says what was measured."""

import json

import pytest

from boards.catalog import BOARDS
from scripts.board_page import PAGE, RESULTS, written


def test_page():
    """What is generated of the page is what ``scripts/boards --page`` makes of the numbers; without
    a place for a board, that fails."""
    page, results = PAGE.read_text(), json.loads(RESULTS.read_text())
    assert written(page, results) == page
    assert set(results) <= set(BOARDS)
    for name in results:
        assert f"$ diannao run models/digits.onnx --target sim:{name}" in page
    with pytest.raises(ValueError, match="must hold the lines <!-- demo of icebreaker --> and"):
        written(page.replace("<!-- demo of icebreaker -->", ""), results)
