"""The picture of the core in the README."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from hw.diannao.config import CONFIGS
from scripts.draw_core import draw


def test_picture_is_current():
    picture = Path(__file__).parents[2] / "docs" / "core.svg"
    assert picture.read_text() == draw(CONFIGS["diannao-16x16"]), (
        "docs/core.svg must be drawn again: python scripts/draw_core.py > docs/core.svg"
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_are_those_of_the_configuration(name):
    config = CONFIGS[name]
    drawing = ElementTree.fromstring(draw(config))
    texts = [element.text for element in drawing.iter() if element.tag.endswith("text")]
    assert f"{config.tn} x {config.ti} multipliers" in texts
    assert f"ring of {config.nbin_elements} neurons" in texts
    assert f"{config.sb_rows} rows of {config.sb_row_bits // 8} bytes" in texts
    assert f"{config.tn} partial sums of {config.acc_width} bits" in texts
