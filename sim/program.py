"""What a back end hands to interpreter, simulators and boards: program and memory image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hw.diannao.config import Config

__all__ = ["Layer", "Program", "TensorLayout"]


@dataclass(frozen=True)
class TensorLayout:
    """Where a tensor lives in the accelerator's memory.

    Element (n, c, h, w) is ``element_bytes`` little-endian bytes at ``address + n*strides[0] +
    c*strides[1] + h*strides[2] + w*strides[3]``; a tensor (N, F) counts as (N, F, 1, 1).
    """

    name: str
    shape: tuple[int, ...]
    frac: int
    address: int
    strides: tuple[int, int, int, int]
    element_bytes: int

    def _view(self, memory: np.ndarray) -> np.ndarray:
        n, c, h, w = (*self.shape, 1, 1)[:4]
        dtype = np.dtype(f"<i{self.element_bytes}")
        # The bytes may be unaligned for the element type, so view them byte-wise.
        return np.lib.stride_tricks.as_strided(
            memory[self.address :], (n, c, h, w, dtype.itemsize), (*self.strides, 1)
        )

    def read(self, memory: np.ndarray) -> np.ndarray:
        """The tensor as int64 in its ONNX shape, from the bytes (uint8) of the whole memory."""
        raw = np.ascontiguousarray(self._view(memory))
        return raw.view(f"<i{self.element_bytes}").astype(np.int64).reshape(self.shape)

    def write(self, memory: np.ndarray, values: np.ndarray) -> None:
        """Store integer ``values`` of the ONNX shape into the bytes of the whole memory."""
        n, c, h, w = (*self.shape, 1, 1)[:4]
        raw = np.ascontiguousarray(values.reshape(n, c, h, w).astype(f"<i{self.element_bytes}"))
        self._view(memory)[...] = raw.view(np.uint8).reshape(n, c, h, w, self.element_bytes)


@dataclass(frozen=True)
class Layer:
    """One entry of the report: the instructions whose CP slot carries ``tag``.

    ``macs`` are the true multiply-accumulates (0 for pooling), ``bound_cycles`` is the lower bound
    of design: the largest of NFU time, bytes per port over its width, and all bytes over the memory
    rate; ``nfu_steps`` is the smallest number of NFU steps any mapping needs.
    """

    tag: int
    name: str
    op: str
    macs: int
    nfu_steps: int
    bytes: dict[str, int]
    outputs: tuple[str, ...] = ()


@dataclass
class Program:
    """A compiled core segment.

    Parameters
    ----------
    config : core it was compiled for
    words : the instruction stream, uint64
    address : byte address of ``words[0]`` in memory
    image : (byte address, bytes) pieces to be put in memory before the first run: weights, biases,
        tables (the program itself is not among them)
    memory_size : bytes of memory used; everything not in the image must be zero before the first
        run (the zero halos of padded feature maps live there and are never written)
    inputs, outputs : tensors the host writes before and reads after a run
    tensors : every tensor of the segment that exists in memory, for checking layer by layer
    layers : report entries by tag
    """

    config: Config
    words: np.ndarray
    address: int
    image: list[tuple[int, bytes]]
    memory_size: int
    inputs: dict[str, TensorLayout]
    outputs: dict[str, TensorLayout]
    tensors: dict[str, TensorLayout]
    layers: dict[int, Layer] = field(default_factory=dict)

    @property
    def nodes(self) -> list[tuple[int, np.ndarray]]:
        """(address, words) of the program of every node that takes part: here, of the core."""
        return [(self.address, self.words)]

    @cached_property
    def accesses(self) -> Mapping[int, Mapping[str, int]]:
        """Accesses to memories inside the accelerator by tag, where they are counted."""
        return {}

    def memory(self) -> np.ndarray:
        """A fresh memory (uint8) of ``memory_size`` bytes with image and program in place."""
        memory = np.zeros(self.memory_size, dtype=np.uint8)
        for address, content in self.image:
            memory[address : address + len(content)] = np.frombuffer(content, dtype=np.uint8)
        program = self.words.astype("<u8").tobytes()
        memory[self.address : self.address + len(program)] = np.frombuffer(program, np.uint8)
        return memory
