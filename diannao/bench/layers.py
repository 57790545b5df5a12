"""The benchmark layers, each declared once."""

from dataclasses import dataclass, replace
from typing import Literal

from sim.memory import MemorySettings

__all__ = ["LAYERS", "Benchmark"]

Kind = Literal["conv", "private", "pool", "classifier", "program"]

PAPER_MEMORY = MemorySettings()
PEERS_MEMORY = MemorySettings(bandwidth=32)
"""A bus of 256 bits, which other accelerators' generators and models were measured with."""


@dataclass(frozen=True)
class Benchmark:
    """One layer.

    Parameters
    ----------
    name : how it is asked for
    kind : convolution, convolution with private kernels (a kernel for every output position),
        maximum pooling, classifier, or the paper's classifier program, instruction by instruction
    inputs, outputs : the paper's Ni and No (feature maps, or neurons of a classifier)
    size : the paper's (Ny, Nx), extents of the inputs
    kernel : (Ky, Kx)
    stride, padding : in both directions
    batch : images
    memory : what the layer is measured with
    origin : the network that it comes from
    """

    name: str
    kind: Kind
    inputs: int
    outputs: int
    size: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: int = 0
    batch: int = 1
    memory: MemorySettings = PAPER_MEMORY
    origin: str = ""

    @property
    def output_size(self) -> tuple[int, int]:
        """Rows and columns of the outputs."""
        rows, columns = (
            (size + 2 * self.padding - kernel) // self.stride + 1
            for size, kernel in zip(self.size, self.kernel, strict=True)
        )
        return rows, columns

    def cropped(self, rows: int, columns: int) -> "Benchmark":
        """The layer with inputs for so many rows and columns of outputs, and nothing else less."""
        height, width = (
            (count - 1) * self.stride + kernel - 2 * self.padding
            for count, kernel in zip((rows, columns), self.kernel, strict=True)
        )
        return replace(self, size=(height, width))

    @property
    def shape(self) -> str:
        """The shape for people."""
        if self.kind in ("classifier", "program"):
            return f"{self.inputs} -> {self.outputs}" + (
                f", batch {self.batch}" if self.batch > 1 else ""
            )
        (height, width), (ky, kx) = self.size, self.kernel
        maps = f"{self.inputs}" if self.kind == "pool" else f"{self.inputs} -> {self.outputs}"
        step = f" / {self.stride}" if self.stride > 1 else ""
        around = f", padding {self.padding}" if self.padding else ""
        return f"{width}x{height}, {maps}, {kx}x{ky}{step}{around}"


def _conv(name, kind, nx, ny, kernel, ni, no, origin, **more) -> Benchmark:
    return Benchmark(name, kind, ni, no, (ny, nx), (kernel, kernel), origin=origin, **more)


def _pool(name, nx, ny, kernel, maps, origin) -> Benchmark:
    kernels = (kernel, kernel)
    return Benchmark(name, "pool", maps, maps, (ny, nx), kernels, kernel, origin=origin)


def _classifier(name, ni, no, origin, **more) -> Benchmark:
    return Benchmark(name, "classifier", ni, no, origin=origin, **more)


_SCENE = "street scene parsing"
_FACE = "face detection in videos"
_SIGNS = "traffic signs"
_NUMBERS = "house numbers"
_IMAGENET = "ImageNet 2012"
_ALEXNET = "AlexNet"
_PEERS = "measured by others"

LAYERS: dict[str, Benchmark] = {
    layer.name: layer
    for layer in (
        # The paper's ten (table 5).         Nx   Ny   K    Ni   No
        _classifier("CLASS1", 960, 20, _SCENE),
        _classifier("CLASS3", 200, 100, _SIGNS),
        _conv("CONV1", "conv", 500, 375, 9, 32, 48, _SCENE),
        _conv("CONV2*", "private", 200, 200, 18, 8, 8, _FACE),
        _conv("CONV3", "conv", 32, 32, 4, 108, 200, _SIGNS),
        _conv("CONV4", "conv", 32, 32, 7, 16, 512, _NUMBERS),
        _conv("CONV5*", "private", 256, 256, 11, 256, 384, _IMAGENET),
        _pool("POOL1", 492, 367, 2, 12, _SCENE),
        _pool("POOL3", 32, 32, 4, 100, _SIGNS),
        _pool("POOL5", 256, 256, 2, 256, _IMAGENET),
        # The paper's example of a program (section 6.3).
        Benchmark("PROGRAM", "program", 8192, 256, origin="the paper's listing"),
        # What others measure.
        _classifier("FC1024-B64", 1024, 1024, _PEERS, batch=64),
        _classifier("FC1024", 1024, 1024, _PEERS, memory=PEERS_MEMORY),
        _conv("ALEXNET-CONV1", "conv", 227, 227, 11, 3, 96, _ALEXNET, stride=4),
        _conv("ALEXNET-CONV3", "conv", 13, 13, 3, 256, 384, _ALEXNET, padding=1,
              memory=PEERS_MEMORY),
    )
}  # fmt: skip
"""All layers by name."""
