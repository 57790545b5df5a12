"""The search for the tiles of a convolution: all block shapes that fit, the cheapest wins."""

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

from hw.diannao.config import Config
from hw.diannao.fields import slot_words
from hw.diannao.isa import LEVELS, WORD_BITS, CpSlot, NbinSlot, NboutSlot, NfuSlot, SbSlot
from hw.errors import UserError
from sim.memory import MemorySettings

from .access import COUNT_LIMIT, PatternError
from .blocks import Block, Convolution, Patch, Tiling, load_runs, passes_of
from .maps import Map, Region
from .split import part_sizes
from .timing import fill_rate, run_cycles

__all__ = ["choose", "cost"]


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
        # Several images only where one of them leaves rows unused.
        for images in (
            _splits(shape.batch, config.nbout_rows // (columns * rows))
            if columns == shape.width and rows == shape.height
            else (1,)
        )
        for groups in _splits(
            groups_total,
            min(config.bias_rows, config.sb_rows, config.nbout_rows // (columns * rows * images)),
        )
    ]
    windows = (False, True) if shape.kernel[0] > 1 and shape.channels < config.ti else (False,)
    for window in windows:
        for channels in _channel_counts(shape, window, config.ti):
            for images, rows, columns, groups in blocks:
                for inputs_stay in (False, True) if groups < groups_total else (False,):
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


_WORD_BYTES = WORD_BITS // 8
_BUNDLE_BYTES = _WORD_BYTES * sum(map(slot_words, (CpSlot, NbinSlot, SbSlot, NboutSlot, NfuSlot)))


def cost(
    shape: Convolution, tiling: Tiling, patches: list[Patch], config: Config, memory: MemorySettings
) -> float:
    """Estimated cycles of a convolution under a tiling.

    Block by block the slowest of NFU, ports and memory counts, because buffers hold little more
    than one block ahead; to this come the waits for data that had no room in the buffers before.
    """
    groups_total = -(-shape.outputs // config.tn)
    parts = -(-groups_total // tiling.groups)
    cuts_n = -(-shape.batch // tiling.images)
    cuts_y = -(-shape.height // tiling.rows)
    cuts_x = -(-shape.width // tiling.columns)
    blocks = cuts_n * cuts_y * cuts_x
    groups = groups_total / parts
    images, rows, columns = shape.batch / cuts_n, shape.height / cuts_y, shape.width / cuts_x
    positions = images * rows * columns
    (ky, kx), (sy, sx) = shape.kernel, shape.strides

    steps = nbin = nbin_bytes = weight_rows = waits = 0.0
    ahead_rows = config.sb_rows - tiling.groups
    weight_cycles = run_cycles(config.weight_row_bytes, config.sb_port, config, memory)
    for patch, passes in zip(patches, passes_of(shape.channels, tiling.channels), strict=True):
        reduction = patch.rows_of_weights(passes)
        steps += reduction * positions * groups
        weight_rows += reduction * groups

        # Loads of NBin: runs per pass and their length.
        wide = (columns - 1) * sx + kx
        size = passes.channels * config.element_bytes
        misaligned = size * 8 % config.nbin_port != 0
        if tiling.window:
            runs = images * rows * wide
            if size == shape.pitches[1]:
                size *= ky
            else:
                runs *= ky
        elif size == shape.pitches[2]:
            runs = images * ((rows - 1) * sy + ky)
            size = round(size * wide)
        else:
            runs = images * ((rows - 1) * sy + ky) * wide
        nbin += (
            passes.count * runs * (run_cycles(size, config.nbin_port, config, memory) + misaligned)
        )
        nbin_bytes += passes.count * runs * size

        # Waits for NBin: what the ring could not take in while the pass before was at work.
        elements = patch.elements / passes.count
        row = patch.loops[4][1]
        (_, x_step), (_, y_step), (_, image_step) = patch.loops[:3]
        farthest = (columns - 1) * x_step + (rows - 1) * y_step + (images - 1) * image_step
        freed = (patch.kernel_rows - 1) * patch.slides[4] + (patch.reads - 1) * patch.slides[3]
        early = min(elements, max(0, config.nbin_elements - (elements - freed)))
        sweep = (positions - 1) * groups
        wait = 0.0
        for kernel_row in (0, patch.kernel_rows - 1):
            needed = min(elements, farthest + kernel_row * row + config.ti)
            since = sweep + kernel_row * patch.reads * positions * groups
            wait = max(wait, (needed - early) / fill_rate(size, config) - since)
        if not tiling.inputs_stay:
            waits += passes.count * wait
        else:
            waits += passes.count * wait / parts

        # Waits for SB, likewise: every step of the reduction meets fresh rows, one per group.
        late = max(0, tiling.groups - ahead_rows) * weight_cycles - (tiling.groups - 1)
        waits += reduction * max(0.0, late)

    stay = not tiling.inputs_stay and weight_rows <= config.sb_rows
    if stay:
        waits += max(0.0, 2 * weight_rows - config.sb_rows) * weight_cycles / blocks
    if tiling.inputs_stay:
        nbin, nbin_bytes = nbin / parts, nbin_bytes / parts
    sb = weight_rows * weight_cycles / (blocks if stay else 1)
    sb_bytes = sb / weight_cycles * config.weight_row_bytes
    out_bytes = positions * groups * config.tn * config.element_bytes
    row_bytes = config.tn * config.element_bytes
    out = positions * groups * -(-row_bytes * 8 // config.nbout_port)
    fetch = _BUNDLE_BYTES * 8 * len(patches) / config.cp_port
    moved = nbin_bytes + sb_bytes + out_bytes + _BUNDLE_BYTES * len(patches)
    ports = nbin + sb + out + fetch if config.shared_port else max(nbin, sb, out, fetch)
    block = max(steps, ports, moved / memory.bandwidth) + waits
    # Traffic breaks ties: it costs energy even where it costs no time.
    return parts * blocks * (block + 1e-3 * moved / memory.bandwidth) + parts * tiling.groups


@lru_cache(maxsize=4096)
def choose(shape: Convolution, config: Config, memory: MemorySettings) -> Tiling:
    """The cheapest tiling of a convolution.

    Raises
    ------
    UserError
        If none fits, which takes an exotic configuration.
    """
    found = []
    for tiling in _candidates(shape, config):
        patches = _patches(shape, tiling, config)
        if _fits(patches, tiling, config):
            found.append((cost(shape, tiling, patches, config, memory), tiling))
    found.sort(key=lambda pair: pair[0])
    for _, tiling in found:
        if _loadable(shape, tiling, config):
            return tiling
    raise UserError(f"no tiling of {shape} fits the buffers; enlarge nbin_rows or sb_rows")
