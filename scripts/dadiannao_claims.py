"""The DaDianNao paper's claims beside ours: writes docs/dadiannao-claims.md.

    python -m scripts.dadiannao_claims

Structure is counted in the elaborated NFU of a tile. Cycles are those of the performance model, all
nodes and the mesh between them, on the compiled full-size layers. Tests (tests/sim/dadiannao)
hold it to 1 % of the RTL on whole networks, of machines of 1x1, 2x1 and 2x2 small nodes.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from compiler.dadiannao import lower
from diannao import Session
from diannao.files import replacing
from hw.arith.numbers import Table
from hw.dadiannao.assembler import decode
from hw.dadiannao.config import CONFIGS, NodeConfig
from hw.errors import UserError
from hw.inventory import take_inventory
from hw.nfu.layouts import Op
from hw.nfu.nfu import Nfu
from scripts import training_claims
from sim.dadiannao.model import MachineModel
from sim.graph import Conv, Gemm, Graph, Pool, Tensor

PAGE = Path(__file__).parent.parent / "docs" / "dadiannao-claims.md"
NODE = CONFIGS["dadiannao"]
MESHES = ((1, 1), (2, 2), (4, 4), (8, 8))
IDENTITY = Table((), (1,), (0,), 0)

TABLE_I = {
    "CLASS1": (12.5, (1, 1, 2560, 2560)),
    "CLASS2": (32, (1, 1, 4096, 4096)),
    "CONV1": (22.69, (11, 11, 256, 384)),
    "CONV2": (0.24, (9, 9, 32, 48)),
}
"""Synapses in MB (of 2^20), and what they follow from: kernel, input and output maps."""

SPEEDUPS = {
    "CLASS1": (60.8, 178, 198, 72.96),
    "CLASS2": (104, 343, 517, 239),
    "CONV2": (51.8, 168, 610, 2417),
    "POOL1": (2.74, 11.0, 41.2, 164),
}
"""The paper's speedups over a GPU on 1, 4, 16 and 64 nodes; only their ratios are comparable."""


def gemm(inputs: int, outputs: int) -> Graph:
    """A classifier layer; its weights do not matter for cycles."""
    tensors = {"x": Tensor("x", (1, inputs), 8), "y": Tensor("y", (1, outputs), 8)}
    weight, bias = np.zeros((outputs, inputs), np.int16), np.zeros(outputs, np.int64)
    return Graph("class", 16, 0, tensors, ["x"], ["y"],
                 [Gemm("class", "x", "y", weight, bias, 8, IDENTITY)])  # fmt: skip


def conv(height: int, width: int, kernel: int, inputs: int, outputs: int) -> Graph:
    """A convolution without padding."""
    shape = (1, outputs, height - kernel + 1, width - kernel + 1)
    tensors = {"x": Tensor("x", (1, inputs, height, width), 8), "y": Tensor("y", shape, 8)}
    weight = np.zeros((outputs, inputs, kernel, kernel), np.int16)
    node = Conv("conv", "x", "y", weight, np.zeros(outputs, np.int64), (1, 1), (0, 0, 0, 0), 8,
                IDENTITY)  # fmt: skip
    return Graph("conv", 16, 0, tensors, ["x"], ["y"], [node])


def pool(height: int, width: int, maps: int) -> Graph:
    """A maximum over windows of 2 x 2."""
    shape = (1, maps, height // 2, width // 2)
    tensors = {"x": Tensor("x", (1, maps, height, width), 8), "y": Tensor("y", shape, 8)}
    node = Pool("pool", "x", "y", "max", (2, 2), (2, 2), (0, 0, 0, 0), False, {1: (0, IDENTITY)})
    return Graph("pool", 16, 0, tensors, ["x"], ["y"], [node])


LAYERS = {
    "CLASS1": gemm(2560, 2560),
    "CLASS2": gemm(4096, 4096),
    "CONV2": conv(375, 500, 9, 32, 48),
    "POOL1": pool(366, 492, 12),
}


def machine(mesh: tuple[int, int]) -> NodeConfig:
    """The paper's nodes, with central memories for all neurons of a layer and enough buffers."""
    return NODE.replace(
        rows=mesh[0], columns=mesh[1], central_rows=1 << 22, address_width=40,
    )  # fmt: skip


class Times(NamedTuple):
    """A layer on a machine: cycles, steps of the busiest tile, and bytes over all links."""

    cycles: int
    active: int
    bytes: int


def times(graph: Graph, mesh: tuple[int, int]) -> Times:
    """A layer from where all nodes begin, in the same cycle, to where the last one has ended."""
    config = machine(mesh)
    model = MachineModel(config)
    cycles = model.run(lower(graph, config), together=True)
    active = max(sum(node.active.values()) for node in model.nodes)
    return Times(cycles, active, sum(model.network.bytes.values()))


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def structure() -> Iterator[str]:
    """A1 to A5."""
    core = NODE.core
    nfu = take_inventory(
        Nfu(
            tn=core.tn, ti=core.ti, width=core.width, drop=core.drop, multiplier=core.multiplier,
            acc_width=core.acc_width, nbout_rows=core.nbout_rows, bias_rows=core.bias_rows,
            segments=core.segments, nfu1_stages=core.nfu1_stages, nfu2_stages=core.nfu2_stages,
            nfu3_stages=core.nfu3_stages, aggregate=True,
        )
    )  # fmt: skip
    pairs = range(core.tn // 2)
    products = nfu.products("nfu1") + nfu.products("nfu3")
    # One adder of a pair of trees puts their sums together when they are joined: none of a tile's.
    adders = sum(nfu.count(f"nfu2.trees_{pair}", "add") - 1 for pair in pairs)
    adders += sum(nfu.operators[f"nfu2.adder_{pair}"]["add"] for pair in pairs)
    adders += sum(nfu.operators[f"nfu3.functions.pair_{pair}"]["add"] for pair in pairs)
    operators = NODE.tiles * (products + adders)
    wide = products // 4, adders // 2  # tests/hw/nfu/test_joinable.py: the same ones, joined
    for claim, bits, paper, (multiply, add) in (
        ("A1", 16, "5.585 (288 + 288 operators of a tile)", (products, adders)),
        ("A2", 32, "2.094 (72 + 144)", wide),
    ):
        peak = NODE.tiles * (multiply + add) * NODE.clock_mhz / 1e6
        found = f"{peak:.3f} ({multiply} + {add})"
        verdict = "holds" if paper.startswith(f"{peak:.3f}") else "differs"
        yield row(claim, f"TOP/s of a node, {bits} bits, with aggregate", paper, found, verdict)
    tile = core.sb_rows * core.sb_row_bits // 8 / 2**20
    central = 2 * NODE.central_rows * NODE.row_bytes / 2**20
    total = NODE.tiles * tile + central
    yield row(
        "A3", "eDRAM in MB: tiles, central", "16 x 2 + 4 = 36",
        f"{NODE.tiles} x {tile:g} + {central:g} = {total:g}", "holds" if total == 36 else "differs",
    )  # fmt: skip
    yield row("", "bytes of an SB row", "512", core.sb_row_bits // 8, "holds")
    verdict = "holds" if operators == 9216 else "differs"
    yield row("A4", "operators of a node", "9216", operators, verdict)
    for name, (paper, shape) in TABLE_I.items():
        ours = int(np.prod(shape)) * NODE.element_bytes / 2**20
        verdict = "holds" if abs(ours - paper) < 0.01 else "differs"
        yield row("A5", f"synapses of {name} in MB", paper, f"{ours:.2f}", verdict)


def class2() -> Iterator[str]:
    """A6: the program of CLASS2 on four nodes."""
    config = machine((2, 2))
    program = lower(LAYERS["CLASS2"], config)
    steps = [
        each
        for each in decode(program.words)
        if each.tile is not None and each.tile.nest.op is Op.MAC
    ]
    nests = [each.tile.nest for each in steps if each.tile is not None]
    stride = {second.sb - first.sb for first, second in pairwise(nests)}
    found = len(nests), sum(nest.steps for nest in nests), *stride
    yield row(
        "A6", "CLASS2 on 4 nodes: instructions of a node, NFU cycles, step of SB", "4, 1024, 256",
        ", ".join(map(str, found)), "holds" if found == (4, 1024, 256) else "differs",
    )  # fmt: skip


def normalisation() -> Iterator[str]:
    """A9: what nodes send each other for a normalisation between two convolutions."""
    rng = np.random.default_rng(0)
    kernels = [numpy_helper.from_array(rng.normal(size=(16, 16, 3, 3)).astype(np.float32), n)
               for n in ("w", "v")]  # fmt: skip
    sent = []
    for normalises in (False, True):
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("LRN", ["a"], ["b"], size=5) if normalises
            else helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "v"], ["y"], pads=[1, 1, 1, 1]),
        ]  # fmt: skip
        shape = [1, 16, 16, 16]
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
        model = helper.make_model(
            helper.make_graph(nodes, "lrn", values[:1], values[1:], kernels),
            opset_imports=[helper.make_opsetid("", 17)], ir_version=10,
        )  # fmt: skip
        session = Session(
            model.SerializeToString(), config="dadiannao-4", target="isa", strict=True,
            settings=["aggregate=true", "training=true"],
        )  # fmt: skip
        session.run(None, session.random_inputs(1))
        moved = session.report["accesses"]
        sent.append(sum(size for name, size in moved.items() if name.startswith("link_")))
    more = sent[1] - sent[0]
    yield row(
        "A9", "LRN between convolutions, 4 nodes: bytes of neurons between nodes", "0",
        f"{more} ({sent[1]:,} with it, {sent[0]:,} with Relu in its place)",
        "holds; on the nodes, with `training`" if more == 0 else "differs",
    )  # fmt: skip


def verdicts(found: dict[str, list[float | None]]) -> Iterator[str]:
    """A7, A8: ratios of cycles, from the speedups on 1, 4, 16 and 64 nodes."""
    _, four, _, most = found["CONV2"]
    if four and most:
        ratio = most / four
        yield row(
            "A7", "CONV2, 64 nodes over 4", f"{SPEEDUPS['CONV2'][3] / SPEEDUPS['CONV2'][1]:.1f}",
            f"{ratio:.1f}", "holds" if ratio >= 14 else "differs",
        )  # fmt: skip
    paper = [value / SPEEDUPS["CLASS1"][0] for value in SPEEDUPS["CLASS1"]]
    ours = [value or 0 for value in found["CLASS1"]]
    near = [
        f"{r * c}" for (r, c), a, b in zip(MESHES, ours, paper, strict=True)
        if abs(a / b - 1) <= 0.2
    ]  # fmt: skip
    yield row(
        "A8", "CLASS1 on 1, 4, 16, 64 nodes", " : ".join(f"{value:.2f}" for value in paper),
        " : ".join(f"{value:.2f}" for value in ours), f"within 20 % on {', '.join(near)} nodes",
    )  # fmt: skip


def scaling(speedups: dict[str, list[float | None]]) -> Iterator[str]:
    """Cycles on 1 to 64 nodes, and how they compare with those on the fewest: ``speedups``."""
    for name, graph in LAYERS.items():
        found: list[Times | None] = []
        reasons = []
        for mesh in MESHES:
            try:
                found.append(times(graph, mesh))
                reasons.append("")
            except UserError as error:
                # The sentence without the advice.
                reasons.append(str(error).partition("; ")[0].partition(" needs ")[2])
                found.append(None)
        base = next(n for n, each in enumerate(found) if each is not None)
        first = found[base]
        assert first is not None
        paper = [value / SPEEDUPS[name][base] for value in SPEEDUPS[name]]
        both = list(zip(found, reasons, strict=True))
        yield row(name, "cycles", *(f"{e.cycles:,}" if e else why for e, why in both))
        yield row("", "steps of a tile", *(f"{e.active:,}" if e else "-" for e in found))
        yield row("", "KB over links", *(f"{e.bytes / 1024:,.0f}" if e else "-" for e in found))
        ours = [first.cycles / each.cycles if each else None for each in found]
        speedups[name] = ours
        yield row("", "speedup", *(f"{value:.2f}" if value else "-" for value in ours))
        yield row("", "the paper's", *(f"{value:.2f}" for value in paper))


def page() -> str:
    """The text of the page."""
    head = row("", "claim", "paper", "ours", "verdict") + "\n|---|---|---|---|---|"
    nodes = row("layer", "", *(f"{r * c} nodes" for r, c in MESHES)) + "\n|---|---|---|---|---|---|"
    speedups: dict[str, list[float | None]] = {}
    tables = "\n".join(scaling(speedups))
    claims = "\n".join([*structure(), *class2(), *verdicts(speedups), *normalisation()])
    training = training_claims.section()
    return f"""# DaDianNao: the paper's claims beside ours

Written by `python -m scripts.dadiannao_claims`. {(__doc__ or "").strip().split(chr(10) * 2)[-1]}

{head}
{claims}

## Layers on 1, 4, 16 and 64 nodes

Everything is in the central memories when the clock starts; they are made large enough for the
layer (`central_rows`; CONV2 has 11.4 MB of inputs, the paper's two central banks 4 MB). Nodes work
on what they have while the rest comes: on the inside of their rectangle of a map, on their own
inputs of a classifier layer. The paper's speedups are over a GPU, so only ratios between numbers of
nodes compare.

For classifier layers the paper speaks of a ring. Here neurons go along the rows of the mesh, then
along its columns (`compiler/dadiannao/gathering.py` says why): as many bytes over the busiest link
as in a ring, over as many links behind one another as the mesh is wide and high.

{nodes}
{tables}

## Training

A10: the paper's 32-bit training comes to the accuracy of floating point, and its 16-bit training
does not converge. Here, accuracy on the 360 test images of scikit-learn's digits after
{training_claims.EPOCHS} epochs in batches of {training_claims.BATCH}, of a perceptron of
{" - ".join(map(str, training_claims.SIZES))} neurons with ReLU, in golden (`python -m
scripts.training_claims`; [how](training.md)). With 32 bits it is that of floating point at every
rate; with 16 bits only as long as the changes are large, because what is below half a unit of the
weights' Q6.10 is rounded away.

{training}
"""


def main() -> None:
    with replacing(PAGE) as partial:
        partial.write_text(page())
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
