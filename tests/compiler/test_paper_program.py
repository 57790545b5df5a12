"""The paper's example program: its printed rows, its counts, and its result."""

import re
from dataclasses import replace

import numpy as np
import pytest

from compiler.paper_program import TAG, paper_layer, paper_program
from hw.arith.numbers import bounds
from hw.diannao.assembler import (
    Instruction,
    Loop,
    NbinLoad,
    NboutStore,
    Runs,
    SbLoad,
    assemble,
    decode,
    disassemble,
    encode,
    nest,
)
from hw.diannao.config import CONFIGS
from hw.diannao.isa import NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim import golden
from sim.interpreter import Interpreter

PAPER = CONFIGS["diannao-16x16"]

# The columns, in the paper's order: CP: END | SB: READ OP, REUSE, ADDRESS, SIZE | NBin: READ OP,
# REUSE, STRIDE, STRIDE BEGIN, STRIDE END, ADDRESS, SIZE | NBout: READ OP, WRITE OP, ADDRESS, SIZE |
# NFU: NFU-1 OP, NFU-2 OP, NFU-2 IN, NFU-2 OUT, NFU-3 OP, OUTPUT BEGIN, OUTPUT END
FIRST = (
    "NOP | LOAD 0 0 32768 | LOAD 1 0 0 0 4194304 2048 | NOP WRITE 0 0 "
    "| MULT ADD RESET NBOUT SIGMOID 1 0"
)
SECOND = (
    "NOP | LOAD 0 32768 32768 | READ 1 0 0 0 0 0 | NOP WRITE 0 0 | MULT ADD RESET NBOUT SIGMOID 0 0"
)
THIRD = (
    "NOP | LOAD 0 7864320 32768 | LOAD 1 0 0 0 4225024 2048 | READ STORE 8388608 512 "
    "| MULT ADD NBOUT NFU3 SIGMOID 1 0"
)
"""The rows that the paper prints. The third is of a program for twice as many inputs."""


def paper_rows(chunks: int) -> list[str]:
    """All rows for chunks of 1024 inputs and 256 outputs, which are 16 groups.

    The printed rows begin a chunk (OUTPUT BEGIN) or follow within it. What the others hold is our
    reading: the chunk is not reused (REUSE) after its last group (OUTPUT END), and the store comes
    with the last row.
    """
    rows = []
    for n in range(16 * chunks):
        chunk, group = divmod(n, 16)
        begin, end = int(group == 0), int(group == 15)
        nbin = (
            f"LOAD 1 0 0 0 {4194304 + 2048 * chunk} 2048" if begin else f"READ {1 - end} 0 0 0 0 0"
        )
        write = "STORE 8388608 512" if n == 16 * chunks - 1 else "WRITE 0 0"
        nfu2 = "NBOUT" if chunk else "RESET"
        out = "NFU3" if chunk == chunks - 1 else "NBOUT"
        rows.append(
            f"NOP | LOAD 0 {32768 * n} 32768 | {nbin} | {'READ' if chunk else 'NOP'} {write} "
            f"| MULT ADD {nfu2} {out} SIGMOID {begin} {end}"
        )
    return rows


def from_paper(rows: list[str], *, shift: int, scale: int) -> list[Instruction]:
    """The instructions for rows of the paper's example, by the table of docs/isa.md.

    Built into the paper's classifier state machine, and written out here, are the loop over the
    rows of NBin and SB, and the count of groups that OUTPUT BEGIN starts.
    """
    program = []
    group = 0
    for row in rows:
        cp, sb, nbin, nbout, nfu = (part.split() for part in row.split("|"))
        assert (cp, nfu[:2], nfu[4]) == (["NOP"], ["MULT", "ADD"], "SIGMOID")
        group = 0 if nfu[5] == "1" else group + 1
        steps = int(sb[3]) // 512
        loop = Loop(
            count=steps,
            nbin=16,
            sb=1,
            nbin_free=0 if nbin[1] == "1" else 16,
            sb_free=0 if sb[1] == "1" else 1,
            reduce=True,
        )
        load = NbinLoad(Runs(int(nbin[5]), int(nbin[6]))) if nbin[0] == "LOAD" else None
        store = NboutStore(Runs(int(nbout[2]), int(nbout[3]))) if nbout[1] == "STORE" else None
        assert (nbout[0] == "READ") == (nfu[2] == "NBOUT")
        slot = nest(
            Op.MAC,
            [loop],
            source=NfuIn.NBOUT if nbout[0] == "READ" else NfuIn.BIAS,
            target=NfuOut[nfu[3]],
            shift=shift,
            scale=scale,
            nbout=group,
            bias=group,
        )
        sb_load = SbLoad(Runs(int(sb[2]), 512, (steps, 1, 1), (512, 0, 0)))
        program.append(Instruction(sb=sb_load, nbin=load, nbout=store, nfu=slot, tag=TAG))
    return program


@pytest.fixture(scope="module")
def golden_program():
    graph = paper_layer(PAPER)
    return graph, paper_program(graph, PAPER)


def test_program_is_the_papers(golden_program):
    """128 compute instructions, each what its row of the paper says."""
    graph, program = golden_program
    layer = graph.nodes[0]
    instructions = decode(program.words)
    compute = [instruction for instruction in instructions if instruction.tag == TAG]
    assert [i.nfu.op for i in instructions if i.tag != TAG and i.nfu] == [Op.BIAS, Op.TABLE]
    assert instructions[2:] == compute
    assert len(compute) == 128
    expected = from_paper(paper_rows(8), shift=layer.shift, scale=layer.table.shift)
    expected[-1] = replace(expected[-1], end=True)
    assert compute == expected
    assert [i.nfu.steps for i in compute if i.nfu] == [64] * 128


def test_printed_rows():
    """The printed rows are among ours, and come back from words and text."""
    assert paper_rows(8)[:2] == [FIRST, SECOND]
    # The paper's store stands at the first group of the last chunk, ours at the last.
    assert paper_rows(16)[240] == THIRD.replace("STORE 8388608 512", "WRITE 0 0")
    program = from_paper([FIRST, SECOND, THIRD], shift=3, scale=4)
    words = encode(program)
    assert decode(words) == program
    text = disassemble(words)
    assert np.array_equal(assemble(text), words)
    addresses = [0, 4194304, 32768, 7864320, 4225024, 8388608]
    assert [int(address, 16) for address in re.findall(r"address=(\S+)", text)] == addresses


def bytes_read(runs: Runs) -> list[tuple[int, int]]:
    """(address, bytes) of every run of a pattern with one loop."""
    assert runs.count[1:] == (1, 1)
    return [(runs.address + n * runs.stride[0], runs.run) for n in range(runs.count[0])]


def test_every_weight_is_read_once(golden_program):
    _, program = golden_program
    touched = np.zeros(8 << 20, dtype=np.uint8)
    for instruction in decode(program.words):
        slots = [instruction.nbin] if instruction.nbin else []
        slots += [instruction.sb] if instruction.sb and instruction.tag == TAG else []
        for slot in slots:
            for address, size in bytes_read(slot.descriptor):
                touched[address : address + size] += 1
    assert np.all(touched[: 4 << 20] == 1), "weights"
    assert np.all(touched[4 << 20 : (4 << 20) + 16384] == 1), "inputs"
    assert not touched[(4 << 20) + 16384 :].any()


def test_result_and_counts(golden_program):
    """8192 steps, 4 MiB of weights, 512 bytes written, and golden's outputs (claim D6)."""
    graph, program = golden_program
    x = np.random.default_rng(5).integers(*bounds(16), (1, 8192), endpoint=True)
    memory = program.memory()
    program.inputs["x"].write(memory, x)
    statistics = Interpreter(PAPER, memory).run(program.address, program.words.nbytes)
    assert statistics.active == 8192
    assert statistics.layers[TAG].bytes == {"nbin": 16384, "sb": 4 << 20, "nbout": 512}
    result = golden.run(graph, {"x": x})
    y = program.outputs["y"].read(memory)
    assert np.array_equal(y, result.tensors["y"])
    assert 0 < sum(result.saturated_sums.values()) < 40
    assert len(np.unique(y)) > 200


@pytest.mark.parametrize(("outputs", "inputs"), [(8, 1024), (2, 256), (4, 512)])
def test_other_sizes(outputs, inputs):
    """The same program on a small core of another shape."""
    config = CONFIGS["tiny"]
    graph = paper_layer(config, inputs=inputs, outputs=outputs, seed=outputs)
    program = paper_program(graph, config)
    x = np.random.default_rng(6).integers(*bounds(16), (1, inputs), endpoint=True)
    memory = program.memory()
    program.inputs["x"].write(memory, x)
    Interpreter(config, memory).run(program.address, program.words.nbytes)
    assert np.array_equal(
        program.outputs["y"].read(memory), golden.run(graph, {"x": x}).tensors["y"]
    )


@pytest.mark.parametrize(
    ("outputs", "inputs", "message"),
    [
        (255, 8192, "outputs must be a multiple of 16, not 255"),
        (256, 8000, "inputs must be a multiple of 1024, not 8000"),
        (512, 8192, "outputs must be at most 256, not 512"),
    ],
)
def test_layers_that_cannot_be_cut_like_it(outputs, inputs, message):
    graph = paper_layer(PAPER, inputs=inputs, outputs=outputs)
    with pytest.raises(ValueError, match=message):
        paper_program(graph, PAPER)
