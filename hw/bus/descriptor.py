"""What a DMA is told to move."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = ["Descriptor"]


class Descriptor(data.Struct):
    """Memory access pattern: runs of contiguous bytes in a nest of three strided loops.

    ``for i2 in range(count[2]): for i1 in range(count[1]): for i0 in range(count[0]):`` one run of
    ``run`` bytes at ``address + i0*stride[0] + i1*stride[1] + i2*stride[2]`` (strides in bytes).
    Counts and ``run`` are at least 1.
    """

    address: unsigned(64)
    run: unsigned(32)
    count: data.ArrayLayout(unsigned(16), 3)
    stride: data.ArrayLayout(signed(32), 3)
