"""Memories of boards in Icarus and Verilator."""

import pytest

from boards.memory.storage import BlockRam


@pytest.mark.parametrize("shape", [{"depth": 8, "width": 32}, {"depth": 14, "width": 64}])
def test_block_ram(bench, shape):
    """With a power of two of rows, and made of three memories."""
    bench(BlockRam(**shape), "block_ram", "tests.boards.bench_storage", shape)
