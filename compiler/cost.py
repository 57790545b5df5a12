"""Estimate of the cycles that a convolution takes under a tiling."""

from dataclasses import dataclass

from hw.diannao.config import Config
from hw.diannao.fields import slot_words
from hw.diannao.isa import WORD_BITS, CpSlot, NbinSlot, NboutSlot, NfuSlot, SbSlot
from sim.memory import MemorySettings

from .blocks import Convolution, Passes, Patch, Tiling, passes_of, row_bytes
from .timing import fifo_elements, fill_rate, round_trip, run_cycles

__all__ = ["cost"]

_WORD_BYTES = WORD_BITS // 8
_BUNDLE_BYTES = _WORD_BYTES * sum(map(slot_words, (CpSlot, NbinSlot, SbSlot, NboutSlot, NfuSlot)))


@dataclass(frozen=True)
class _Block:
    """The average block; the parts of a split differ by one at most, so it stands for all."""

    images: float
    rows: float
    columns: float
    groups: float

    @property
    def positions(self) -> float:
        return self.images * self.rows * self.columns


def cost(
    shape: Convolution,
    tiling: Tiling,
    patches: list[Patch],
    config: Config,
    memory: MemorySettings,
) -> float:
    """Estimated cycles, good enough to tell which tilings are worth a trial in the model.

    Block by block the slowest of NFU, ports and memory counts, because buffers hold little more
    than one block ahead; to this come the waits for data that had no room in the buffers before.
    ``patches`` are those of the tiling's largest block, one per entry of its passes.
    """
    groups_total = -(-shape.outputs // config.tn)
    cuts = [
        -(-total // most)
        for total, most in (
            (shape.batch, tiling.images), (shape.height, tiling.rows),
            (shape.width, tiling.columns), (groups_total, tiling.groups),
        )
    ]  # fmt: skip
    blocks, parts = cuts[0] * cuts[1] * cuts[2], cuts[3]
    block = _Block(
        shape.batch / cuts[0], shape.height / cuts[1], shape.width / cuts[2], groups_total / parts
    )
    steps = nbin = nbin_bytes = weight_rows = waits = 0.0
    for patch, passes in zip(patches, passes_of(shape.channels, tiling.channels), strict=True):
        cycles, moved, wait = _inputs(shape, tiling, block, patch, passes, config, memory)
        nbin += passes.count * cycles
        nbin_bytes += passes.count * moved
        waits += passes.count * wait
        weight_rows += patch.rows_of_weights(passes) * block.groups
    steps = weight_rows * block.positions
    biases = 0.0
    if shape.private:
        biases = block.rows * block.columns * block.groups
        weight_rows *= block.rows * block.columns
        steps += biases
    if tiling.inputs_stay:
        nbin, nbin_bytes, waits = nbin / parts, nbin_bytes / parts, waits / parts

    # Weights. A step of the reduction meets fresh rows, one per group, and one per pixel as well if
    # they are private and several images share them: those that had no room while the step before
    # was at work make it wait.
    size = row_bytes(shape, config)
    weight_cycles = run_cycles(size, config.sb_port, config, memory, follows=True)
    weight_cycles = max(weight_cycles, round_trip(memory) / config.sb_rows)
    rows = tiling.groups * (tiling.rows * tiling.columns if shape.private else 1)
    if not (shape.private and tiling.images == 1):
        late = max(0.0, max(0, 2 * rows - config.sb_rows) * weight_cycles - (rows - 1))
        waits += weight_rows / rows * late
    if not tiling.inputs_stay and not shape.private and weight_rows <= config.sb_rows:
        waits += max(0.0, 2 * weight_rows - config.sb_rows) * weight_cycles / blocks
        weight_rows /= blocks
    sb, sb_bytes = weight_rows * weight_cycles, weight_rows * size
    sb += biases * run_cycles(config.bias_row_bytes, config.sb_port, config, memory)
    sb_bytes += biases * config.bias_row_bytes

    out, out_bytes = _outputs(shape, tiling, block, config, memory)
    program_bytes = _BUNDLE_BYTES * len(patches)
    fetch = program_bytes * 8 / config.cp_port
    if config.engine:
        fetch = run_cycles(program_bytes, config.cp_port, config, memory, follows=True)
        if not config.queue and len(patches) == 1:
            waits += out  # the next block is not decoded before this one is stored
    ports = (nbin, sb, out, fetch)
    moved = nbin_bytes + sb_bytes + out_bytes + program_bytes
    slowest = max(steps, sum(ports) if config.shared_port else max(ports), moved / memory.bandwidth)
    # Traffic breaks ties: it costs energy even where it costs no time.
    per_block = slowest + waits + 1e-3 * moved / memory.bandwidth
    return parts * (blocks * per_block + (0 if shape.private else tiling.groups))


def _inputs(
    shape: Convolution,
    tiling: Tiling,
    block: _Block,
    patch: Patch,
    passes: Passes,
    config: Config,
    memory: MemorySettings,
) -> tuple[float, float, float]:
    """NBin's port, per pass: cycles, bytes, and cycles that the NFU waits because NBin was full."""
    (ky, kx), (sy, sx) = shape.kernel, shape.strides
    wide = (block.columns - 1) * sx + kx
    size = passes.channels * config.element_bytes
    aligned = size * 8 % config.nbin_port == 0
    if tiling.window:
        runs = block.images * block.rows * wide
        if size == shape.pitches[1]:
            size *= ky
        else:
            runs *= ky
    else:
        runs = block.images * ((block.rows - 1) * sy + ky)
        if size == shape.pitches[2]:
            size = round(size * wide)
        else:
            runs *= wide
    cycles = runs * run_cycles(size, config.nbin_port, config, memory, aligned=aligned)

    # While a pass is at work, the room that its patch leaves is filled for the next one; the rest
    # waits in the FIFO, and what has no room there is requested when the pass ends.
    elements = patch.elements / passes.count
    moves = patch.slides
    freed = (patch.kernel_rows - 1) * moves[4] + (patch.reads - 1) * moves[3]
    live = min(elements - freed / 2, patch.reach)
    fifo = fifo_elements(size, config)
    in_flight = config.nbin_elements - live + fifo
    cycles = max(cycles, elements * round_trip(memory) / in_flight)

    rate = fill_rate(size, config)
    early = min(elements, max(0, config.nbin_elements - (elements - freed)))
    (_, x_step), (_, y_step), (_, image_step) = patch.loops[:3]
    farthest = (
        (block.columns - 1) * x_step + (block.rows - 1) * y_step + (block.images - 1) * image_step
    )
    sweep = (block.positions - 1) * block.groups
    wait = 0.0
    for kernel_row in (0, patch.kernel_rows - 1):
        needed = min(elements, farthest + kernel_row * patch.loops[4][1] + config.ti)
        since = sweep + kernel_row * patch.reads * block.positions * block.groups
        wait = max(wait, (needed - early) / rate - since)
        if needed > early + fifo:
            reached = since * max(0, early + fifo - config.ti) / max(1, needed)
            wait = max(wait, round_trip(memory) - reached)
    return cycles, runs * size, wait


def _outputs(
    shape: Convolution, tiling: Tiling, block: _Block, config: Config, memory: MemorySettings
) -> tuple[float, float]:
    """NBout's port, per block: cycles and bytes."""
    row = config.tn * config.element_bytes
    runs, size = block.positions, min(block.groups * row, shape.outputs * config.element_bytes)
    moved = runs * size
    if shape.outputs % config.tn == 0 and block.groups * config.tn == shape.outputs:
        runs, size = runs / block.columns, size * block.columns
    return runs * run_cycles(size, config.nbout_port, config, memory), moved
