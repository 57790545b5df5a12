"""The paper's example program: a classifier layer, instruction by instruction.

The compiler would map the layer in another way (longer nests, fewer instructions). This program
does what the printed one does (section 6.3): a chunk of inputs fills NBin and is used for one group
of Tn outputs after the other, one instruction each, which brings the synapses of the group for the
chunk. Partial sums wait in NBout until the next chunk; the last chunk sends them through NFU-3. In
front are the loads of bias and activation table, for which the paper has no instructions.
"""

import numpy as np

from hw.arith.numbers import Table, bounds, compensation
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    Runs,
    SbLoad,
    encode,
    nest,
)
from hw.diannao.config import Config
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim.graph import Gemm, Graph, Tensor
from sim.program import Program, TensorLayout

from .bound import layer_of
from .parameters import pack_biases, pack_rows, pack_table

__all__ = ["paper_layer", "paper_program"]

TAG = 1
"""Of the paper's instructions; those in front of them have 0."""


def paper_layer(config: Config, *, inputs: int = 8192, outputs: int = 256, seed: int = 0) -> Graph:
    """A classifier layer of the example's size with random numbers and the identity as activation.

    The sums are spread over the whole range of the results, with some of them saturated.
    """
    rng = np.random.default_rng(seed)
    low, high = bounds(config.width)
    slope = 1 << (config.width - 2)
    identity = Table((), (slope,), (-compensation(config.width, config.drop),), config.width - 2)
    layer = Gemm(
        name="classifier",
        input="x",
        output="y",
        weight=rng.integers(low, high, (outputs, inputs), endpoint=True),
        bias=rng.integers(*bounds(2 * config.width), outputs, endpoint=True),
        shift=config.width - 1 + (inputs.bit_length() - 1) // 2,
        table=identity,
    )
    tensors = {"x": Tensor("x", (1, inputs), 0), "y": Tensor("y", (1, outputs), 0)}
    return Graph("paper", config.width, config.drop, tensors, ["x"], ["y"], [layer])


def paper_program(graph: Graph, config: Config) -> Program:
    """The paper's program for a graph of one classifier layer.

    Weights lie at address 0, inputs at the size of the weights, outputs at twice that (0, 4 MiB and
    8 MiB for 8192 inputs and 256 outputs); biases, table and program follow.

    Raises
    ------
    ValueError
        If the inputs are no whole chunks of NBin's size, the outputs no whole groups of Tn, or the
        groups too many for NBout or the bias buffer.
    """
    (layer,) = graph.nodes
    if not isinstance(layer, Gemm):
        raise ValueError(f"the layer must be a Gemm, not {layer.op}")
    outputs, inputs = layer.weight.shape
    tn, ti, size = config.tn, config.ti, config.element_bytes
    chunk = config.nbin_elements
    for what, number, whole in (
        ("outputs", outputs, tn),
        ("NBin's elements", chunk, ti),
        ("inputs", inputs, chunk),
    ):
        if number % whole:
            raise ValueError(f"{what} must be a multiple of {whole}, not {number}")
    groups, steps, chunks = outputs // tn, chunk // ti, inputs // chunk
    if groups > min(config.nbout_rows, config.bias_rows):
        raise ValueError(
            f"outputs must be at most {tn * min(config.nbout_rows, config.bias_rows)}, "
            f"not {outputs}"
        )

    # Memory. A row of synapses for each step: by chunk, group and step, then [n][i].
    rows = layer.weight.reshape(groups, tn, chunks, steps, ti).transpose(2, 0, 3, 1, 4)
    pieces = (
        pack_rows(rows.reshape(-1, tn, ti), config),
        pack_biases(layer.bias.reshape(groups, tn), config),
        pack_table(layer.table, config),
    )
    row, parameter_row = config.weight_row_bytes, config.bias_row_bytes
    at_inputs = len(pieces[0]) * row
    at_outputs = 2 * at_inputs
    at_bias = -(-(at_outputs + outputs * size) // 4096) * 4096
    at_table = at_bias + groups * parameter_row
    at_program = at_table + config.table_rows * parameter_row

    def parameters(op: Op, address: int, count: int) -> Instruction:
        stride = int(op == Op.BIAS)
        return Instruction(
            sb=SbLoad(Runs(address, parameter_row, (count, 1, 1), (parameter_row, 0, 0))),
            nfu=nest(op, [Loop(count=count, sb=1, bias=stride, sb_free=1)]),
        )

    program = [
        parameters(Op.BIAS, at_bias, groups),
        parameters(Op.TABLE, at_table, config.table_rows),
    ]
    for n in range(chunks * groups):
        number, group = divmod(n, groups)
        last_use, last = group == groups - 1, n == chunks * groups - 1
        fresh = NbinLoad(Runs(at_inputs + number * chunk * size, chunk * size))
        program.append(
            Instruction(
                sb=SbLoad(Runs(n * steps * row, row, (steps, 1, 1), (row, 0, 0))),
                nbin=fresh if group == 0 else None,
                nbout=NboutStore(Runs(at_outputs, outputs * size)) if last else None,
                nfu=nest(
                    Op.MAC,
                    [
                        Loop(
                            count=steps,
                            nbin=ti,
                            sb=1,
                            nbin_free=ti if last_use else 0,
                            sb_free=1,
                            reduce=True,
                        )
                    ],
                    source=NfuIn.NBOUT if number else NfuIn.BIAS,
                    target=NfuOut.NFU3 if number == chunks - 1 else NfuOut.NBOUT,
                    shift=layer.shift,
                    scale=layer.table.shift,
                    nbout=group,
                    bias=group,
                ),
                tag=TAG,
                end=last,
            )
        )
    words = encode(program)

    def vector(name: str, address: int, count: int) -> TensorLayout:
        frac = graph.tensors[name].frac or 0
        return TensorLayout(name, (1, count), frac, address, (count * size, size, 0, 0), size)

    x = vector(layer.input, at_inputs, inputs)
    y = vector(layer.output, at_outputs, outputs)
    addresses = (0, at_bias, at_table)
    return Program(
        config=config,
        words=words,
        address=at_program,
        image=[(at, piece.tobytes()) for at, piece in zip(addresses, pieces, strict=True)],
        memory_size=at_program + words.nbytes,
        inputs={layer.input: x},
        outputs={layer.output: y},
        tensors={layer.input: x, layer.output: y},
        layers={TAG: layer_of(layer, TAG, graph, config)},
    )
