"""Generate NNgen's accelerator for a layer; runs in NNgen's own environment.

``python run_nngen.py LAYER.json FOLDER`` writes layer.v, the memory image image.bin and the
expected results expected.npy to FOLDER, and prints what it did as JSON.
"""

import json
import sys
import time
from pathlib import Path

import nngen as ng  # pyright: ignore[reportMissingImports]
import numpy as np

BUS = 256


def graph(layer: dict):
    """Placeholder, weights, result and multipliers of the layer, of which no sum overflows."""
    inputs, outputs, kernel = layer["inputs"], layer["outputs"], layer["kernel"]
    if kernel == 1:
        x = ng.placeholder(ng.int16, shape=(1, inputs), name="x")
        w = ng.variable(ng.int16, shape=(outputs, inputs), name="w")
        y = ng.matmul(
            x, w, transposed_b=True, dtype=ng.int16, sum_dtype=ng.int64, par_left_col=16,
            par_out_col=16, name="y",
        )  # fmt: skip
        return x, w, y, 256
    # Every tap of the kernel has multipliers of its own: 9 * 4 * 8 come nearest to 256.
    x = ng.placeholder(ng.int16, shape=(1, layer["size"], layer["size"], inputs), name="x")
    w = ng.variable(ng.int16, shape=(outputs, kernel, kernel, inputs), name="w")
    y = ng.conv2d(
        x, w, strides=(1, 1, 1, 1), padding="SAME", dtype=ng.int16, sum_dtype=ng.int64,
        par_ich=4, par_och=8, name="y",
    )  # fmt: skip
    return x, w, y, kernel * kernel * 4 * 8


def expected(x: np.ndarray, w: np.ndarray, kernel: int) -> np.ndarray:
    """The layer in numpy; all numbers are small enough to be exact as floats."""
    if kernel == 1:
        return x.astype(float) @ w.astype(float).T
    size, around = x.shape[1], kernel // 2
    padded = np.pad(x[0].astype(float), ((around, around), (around, around), (0, 0)))
    y = np.zeros((1, size, size, len(w)))
    for i, j in np.ndindex(kernel, kernel):
        y += padded[i : i + size, j : j + size] @ w[:, i, j].T.astype(float)
    return y


def main() -> None:
    layer, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    x, w, y, multipliers = graph(layer)
    rng = np.random.default_rng(0)
    values = {tensor: rng.integers(-4, 5, tensor.shape, dtype=np.int16) for tensor in (x, w)}
    w.set_value(values[w])
    start = time.process_time()
    verilog = ng.to_verilog([y], "layer", config={"maxi_datawidth": BUS}, silent=True)
    seconds = time.process_time() - start
    (folder / "layer.v").write_text(verilog)

    for tensor in (x, y):
        assert tuple(tensor.get_aligned_shape()) == tuple(tensor.shape), "the bus adds no padding"
    weights = ng.export_ndarray([y])
    assert weights.size == values[w].nbytes, "weights are all that there is of parameters"
    size = max(t.addr + 2 * int(np.prod(t.shape)) for t in (x, w, y))
    image = np.zeros(-(-size // 4096) * 4096, np.uint8)
    image[x.addr : x.addr + values[x].nbytes] = values[x].ravel().view(np.uint8)
    image[w.addr : w.addr + weights.size] = weights
    image.tofile(folder / "image.bin")
    np.save(folder / "expected.npy", expected(values[x], values[w], layer["kernel"]))
    print(
        json.dumps({
            "version": ng.__version__,
            "multipliers": multipliers,
            "lines": verilog.count("\n"),
            "generation": seconds,
            "result": y.addr,
            "start": 4 * ng.control_reg_start,
            "busy": 4 * ng.control_reg_busy,
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
