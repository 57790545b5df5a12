"""Roofline plots: what stands where, and that it can be read."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from diannao import UserError
from diannao.roofline import draw, plot

MEMORY = {"bandwidth": 255}


def layer(name: str, macs: int, moved: int, cycles: int, **limits: float) -> dict:
    return {
        "name": name, "source": "rtl", "macs": macs, "cycles": cycles, "limits": limits,
        "bound_by": max(limits, key=limits.__getitem__), "compulsory_bytes": {"sb": moved},
    }  # fmt: skip


def report(*layers: dict) -> dict:
    core = {"tn": 16, "ti": 16}
    return {"model": "net", "config": "core", "layers": list(layers), "configuration": core,
            "memory": MEMORY}  # fmt: skip


def names(figure) -> dict[str, Text]:
    return {text.get_text(): text for text in figure.axes[0].texts}


def test_points_and_roofs():
    figure = draw(
        report(
            layer("fast", 256_000, 2_560, 1_250, nfu=1000, memory=10),
            layer("starved", 1_000, 2_000, 16, nfu=4, memory=8),
            layer("pool", 0, 1_600, 200, nfu=100, memory=6),
            {**layer("slow bus", 1_000, 500, 63, nfu=4, memory=16), "memory": {"bandwidth": 32}},
        )
    )
    axes = figure.axes[0]
    drawn = {tuple(np.round(point, 4)) for dots in axes.collections for point in dots.get_offsets()}
    # Work per byte and work per cycle, and the bound above each point.
    for x, y, top in ((100, 204.8, 256), (0.5, 62.5, 125), (1, 8, 16), (2, 1000 / 63, 62.5)):
        assert {(x, round(y, 4)), (x, round(top, 4))} <= drawn
    assert set(names(figure)) == {
        "fast", "starved", "pool", "slow bus", "memory 32 B/cycle", "memory 255 B/cycle",
        "Tn x Ti = 256 MACs", "pooling, 16 lanes",
    }  # fmt: skip
    legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert legend == {"bound by the NFU", "bound by the memory"}


def test_names_do_not_cover_each_other():
    """Forty layers, as many as a network has, in the corners that networks use."""
    rng = np.random.default_rng(1)
    layers = []
    for n in range(40):
        macs, moved = (int(value) for value in 10 ** rng.uniform((5, 4), (8, 6)))
        least = {"nfu": macs / 256, "memory": moved / 255}
        cycles = int(max(least.values()) * rng.uniform(1.01, 3))
        layers.append(layer(f"layer number {n}", macs, moved, cycles, **least))
    figure = draw(report(*layers))
    renderer = figure.canvas.get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in names(figure).values()]
    placed = [name for name in names(figure) if name.startswith("layer")]
    assert len(placed) >= 38
    for n, box in enumerate(boxes):
        assert not any(map(box.overlaps, boxes[:n]))


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_files_are_reproducible(tmp_path, ending):
    made = report(layer("a", 1000, 10, 5, nfu=4, memory=1))
    paths = [tmp_path / f"{n}.{ending}" for n in range(2)]
    for path in paths:
        plot(made, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_nothing_to_plot(tmp_path):
    with pytest.raises(UserError, match="no layer ran"):
        plot(report(layer("a", 1, 1, 0, nfu=1)), tmp_path / "a.svg")
    assert not list(Path(tmp_path).iterdir())
