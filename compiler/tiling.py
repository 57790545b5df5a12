"""The search for the tiles of a convolution: all block shapes that fit, the fastest wins."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from math import gcd, inf
from typing import NamedTuple

from hw.diannao.config import Config
from hw.diannao.isa import LEVELS
from hw.errors import UserError
from sim.memory import MemorySettings

from .access import COUNT_LIMIT, PatternError
from .blocks import Block, Convolution, Patch, Tiling, load_runs, passes_of, row_bytes
from .cost import cost
from .maps import Map, Region
from .split import part_sizes
from .trial import trial

__all__ = ["Choice", "candidates", "choose"]

_TRIED = 4
"""Candidates that are tried at most."""
_NEAR = 1.1
"""How much slower than the best one they may be by the estimate that ranks them."""
_NEAR_WITH_ENGINE = 1.25
"""The same for cores with an engine, of which the estimate knows less."""
_WORTH = 0.01
"""What part of the cycles another candidate must save: layers in a network differ a little from
layers alone, and every trial takes time."""


def _splits(total: int, most: int) -> list[int]:
    return [size for size in part_sizes(total) if size <= most]


def _channel_counts(shape: Convolution, window: bool, ti: int) -> list[int]:
    """Channels per pass worth trying: all, and those whose runs fill the lanes."""
    kernel = shape.kernel[1] * (shape.kernel[0] if window else 1)
    unit = ti // gcd(ti, kernel)
    steps = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
    counts = {unit * step for step in steps} | {ti * step for step in steps}
    counts |= {-(-shape.channels // parts) for parts in range(2, 9)}
    return [*sorted(count for count in counts if count < shape.channels), shape.channels]


def _candidates(shape: Convolution, config: Config) -> Iterator[Tiling]:
    groups_total = -(-shape.outputs // config.tn)
    blocks = [
        (images, rows, columns, groups)
        for columns in _splits(shape.width, config.nbout_rows)
        for rows in _splits(shape.height, config.nbout_rows // columns)
        # Several images only where they share weights, or one of them leaves rows unused.
        for images in (
            _splits(shape.batch, config.nbout_rows // (columns * rows))
            if shape.private or (columns == shape.width and rows == shape.height)
            else (1,)
        )
        for groups in _splits(
            groups_total,
            min(
                min(config.bias_rows, config.sb_rows) // (columns * rows if shape.private else 1),
                config.nbout_rows // (columns * rows * images),
            ),
        )
    ]
    windows = (False, True) if shape.kernel[0] > 1 and shape.channels < config.ti else (False,)
    for window in windows:
        for channels in _channel_counts(shape, window, config.ti):
            for images, rows, columns, groups in blocks:
                choice = groups < groups_total and not shape.private
                for inputs_stay in (False, True) if choice else (False,):
                    yield Tiling(images, rows, columns, groups, channels, window, inputs_stay)


def _patches(shape: Convolution, tiling: Tiling, config: Config) -> list[Patch]:
    return [
        Patch.of(
            shape, tiling.window, passes, tiling.images, tiling.rows, tiling.columns, config.ti
        )
        for passes in passes_of(shape.channels, tiling.channels)
    ]


def _fits(patches: list[Patch], tiling: Tiling, config: Config) -> bool:
    """Whether the buffers hold what a block needs at once, and nest and fields suffice."""
    capacity = config.nbin_elements
    if tiling.inputs_stay:
        if sum(patch.elements + patch.skip for patch in patches) > capacity:
            return False
    elif any(patch.reach > capacity for patch in patches):
        return False
    for patch in patches:
        counts = [tiling.groups, *(count for count, _ in patch.loops)]
        if sum(count > 1 for count in counts) > LEVELS or max(counts) > COUNT_LIMIT:
            return False
    return True


def _loadable(shape: Convolution, tiling: Tiling, config: Config) -> bool:
    """Whether one descriptor per entry of the passes loads a block."""
    source = Map(0, shape.batch, 0, 0, shape.channels, shape.pitches, Region("", 0, 0))
    block = Block(0, 0, 0, tiling.images, tiling.rows, tiling.columns)
    try:
        for passes in passes_of(shape.channels, tiling.channels):
            load_runs(source, shape, tiling.window, passes, block, config)
    except PatternError:
        return False
    return True


class Choice(NamedTuple):
    """A tiling and the cycles that the convolution takes with it."""

    cycles: float
    tiling: Tiling


@lru_cache(maxsize=4096)
def candidates(shape: Convolution, config: Config, memory: MemorySettings) -> list[Choice]:
    """The best tilings by ``cost``, which tells tens of thousands apart.

    Raises
    ------
    UserError
        If none fits, which takes an exotic configuration.
    """
    found = []
    for tiling in _candidates(shape, config):
        patches = _patches(shape, tiling, config)
        if _fits(patches, tiling, config):
            found.append(Choice(cost(shape, tiling, patches, config, memory), tiling))
    found.sort(key=_cycles)
    loadable = (choice for choice in found if _loadable(shape, choice.tiling, config))
    best = list(islice(loadable, _TRIED))
    if not best:
        raise UserError(f"no tiling of {shape} fits the buffers; enlarge nbin_rows or sb_rows")
    near = _NEAR_WITH_ENGINE if config.engine else _NEAR
    return [choice for choice in best if choice.cycles <= near * best[0].cycles]


@lru_cache(maxsize=4096)
def choose(
    shape: Convolution, config: Config, memory: MemorySettings, *, offset: int = 0
) -> Choice:
    """The candidate that the performance model says is the fastest, as far as it is worth it.

    ``offset`` is that of the input's first byte in its beat.

    Raises
    ------
    UserError
        As ``candidates``.
    """
    # Program, operands and outputs travel one after the other. In a network that is hidden by other
    # layers, so a trial says little of a convolution that is shorter.
    around = 3 * memory.latency
    best: Choice | None = None
    for _, tiling in candidates(shape, config, memory):
        work = _work(shape, tiling, config)
        worth = inf if best is None else (1 - _WORTH) * best.cycles
        if best is None or (work > around and around + work < worth):
            cycles = trial(shape, tiling, config, memory, offset)
            if cycles < worth:
                best = Choice(cycles, tiling)
    assert best is not None
    return best


def _cycles(choice: Choice) -> float:
    return choice.cycles


def _work(shape: Convolution, tiling: Tiling, config: Config) -> float:
    """Cycles of a convolution's steps, or of its weights' way over their port."""
    rows = sum(
        patch.rows_of_weights(passes)
        for patch, passes in zip(
            _patches(shape, tiling, config), passes_of(shape.channels, tiling.channels),
            strict=True,
        )
    ) * -(-shape.outputs // config.tn)  # fmt: skip
    positions = shape.height * shape.width
    kernels = positions if shape.private else 1
    weights = kernels * rows * row_bytes(shape, config) * 8 / config.sb_port
    return max(shape.batch * positions * rows, weights)
