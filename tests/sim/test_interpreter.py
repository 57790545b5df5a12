"""Whole programs on the interpreter: layers against golden, and programs that must not run."""

import numpy as np
import pytest

from hw.arith.numbers import Table, bounds
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
from hw.diannao.isa import ErrorCode, NfuIn, NfuOut
from hw.nfu.layouts import Op
from sim import golden
from sim.graph import Conv, Gemm, Graph, Pool, Tensor
from sim.interpreter import ExecutionError, Interpreter, LayerStatistics
from tests.sim.handmade import Handmade

CONFIGS = [
    Config(name="2x4", tn=2, ti=4, nbin_port=32, sb_port=64, nbin_rows=160, sb_rows=40),
    Config(name="3x5", tn=3, ti=5, width=8, drop=8, multiplier="array", nbin_port=32, sb_port=32,
           nbin_rows=120, sb_rows=40, segments=5),
    Config(name="8x2", tn=8, ti=2, drop=6, multiplier="array", nbin_port=64, sb_port=256,
           nbin_rows=300, sb_rows=80, nbout_rows=4),
]  # fmt: skip

BENT = Table((-3, 0, 50), (-3, 1, 7, 2), (40, -5, 0, 900), 2)
MIRRORED = Table((5, 90), (9, 4, 0), (70, 300, 1000), 4, mirror=17)


def integers(rng, shape, width):
    low, high = bounds(width)
    return rng.choice([low, high, 0, *rng.integers(low, high + 1, 30)], shape)


def golden_of(node, x: np.ndarray, y_shape, config: Config) -> np.ndarray:
    """Golden's output of one node for an ONNX-shaped input."""
    tensors = {"x": Tensor("x", x.shape, 0), "y": Tensor("y", y_shape, 0)}
    graph = Graph("test", config.width, config.drop, tensors, ["x"], ["y"], [node])
    return golden.run(graph, {"x": x}).tensors["y"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("table", [BENT, MIRRORED], ids=["plain", "mirrored"])
def test_convolution_equals_golden(config, table):
    """Halos, strides, rows and outputs that do not fill the lanes, garbage behind the rows."""
    rng = np.random.default_rng(1)
    for (height, width, channels), outputs, kernel, strides, pads in (
        ((6, 7, 3), 5, (3, 2), (1, 1), (1, 0, 1, 1)),
        ((5, 9, 1), 2, (5, 5), (2, 2), (2, 2, 1, 2)),
        ((4, 4, 8), 3, (1, 1), (1, 3), (0, 0, 0, 0)),
    ):
        node = Conv(
            "n", "x", "y", integers(rng, (outputs, channels, *kernel), config.width),
            integers(rng, outputs, 2 * config.width) // 4, strides, pads, config.width - 2, table,
        )  # fmt: skip
        out = tuple(
            (size + pads[a] + pads[2 + a] - kernel[a]) // strides[a] + 1
            for a, size in enumerate((height, width))
        )
        x = integers(rng, (1, channels, height, width), config.width)
        expected = golden_of(node, x, (1, outputs, *out), config)
        for seed in range(2):
            machine = Handmade(config)
            at = machine.conv(node, x[0].transpose(1, 2, 0))
            machine.run(seed)
            result = machine.read(at, (*out, outputs)).transpose(2, 0, 1)
            np.testing.assert_array_equal(result, expected[0])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_equals_golden(config, kind):
    rng = np.random.default_rng(2)
    shape = (1, 3 * config.lanes, 6, 5)
    node = Pool(
        "n", "x", "y", kind, (3, 2), (2, 1), (0, 0, 0, 0), False,
        {1 if kind == "max" else 6: (1, BENT)},
    )  # fmt: skip
    x = integers(rng, shape, config.width)
    machine = Handmade(config)
    at = machine.pool(node, x[0].transpose(1, 2, 0))
    machine.run()
    result = machine.read(at, (2, 4, shape[1])).transpose(2, 0, 1)
    np.testing.assert_array_equal(result, golden_of(node, x, (1, shape[1], 2, 4), config)[0])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_classifier_equals_golden(config):
    """Operands that are several times longer than the rings, sums that wait in NBout."""
    rng = np.random.default_rng(3)
    length, outputs = 1999, 3 * config.tn - 1
    assert length > 3 * config.nbin_elements
    assert length // config.ti * 3 > 3 * config.sb_rows
    node = Gemm(
        "n", "x", "y", integers(rng, (outputs, length), config.width),
        integers(rng, outputs, 2 * config.width) // 4, config.width + 5, BENT,
    )  # fmt: skip
    x = integers(rng, (1, length), config.width)
    machine = Handmade(config)
    at = machine.gemm(node, x[0])
    machine.run()
    expected = golden_of(node, x, (1, outputs), config)
    np.testing.assert_array_equal(machine.read(at, (outputs,)), expected[0])


def test_statistics_by_layer():
    config = CONFIGS[0]
    rng = np.random.default_rng(4)
    node = Conv(
        "n", "x", "y", integers(rng, (3, 3, 3, 3), 16), np.zeros(3, int),
        (1, 1), (0, 0, 0, 0), 9, BENT,
    )  # fmt: skip
    machine = Handmade(config)
    machine.conv(node, integers(rng, (5, 6, 3), 16))
    statistics = machine.run()
    # 3 output rows of 4 pixels in 2 groups, 3 kernel rows of ceil(9 / 4) steps each.
    assert statistics.layers[7] == LayerStatistics(
        active=3 * 4 * 2 * 9,
        parameters=0,
        bytes={"nbin": 3 * 3 * 6 * 3 * 2, "sb": 3 * 2 * 9 * 16, "nbout": 3 * 4 * 3 * 2},
    )
    assert statistics.layers[0] == LayerStatistics(
        parameters=16 + 2, bytes={"nbin": 0, "sb": 18 * 8, "nbout": 0}
    )
    words = len(encode([*machine.program, Instruction(end=True)]))
    assert statistics.active == 216
    assert statistics.parameters == 18
    assert statistics.bytes == {"nbin": 324, "sb": 864 + 144, "nbout": 72, "cp": 8 * words}


def test_skipped_elements_are_garbage():
    """What a load skips must not matter, so it differs from run to run."""
    config = CONFIGS[0]
    results = []
    for seed in (1, 1, 2):
        machine = Handmade(config)
        machine.table(Table((0,), (1, 1), (0, 0), 0))
        out = machine.reserve(8)
        machine.emit(
            nbin=NbinLoad(Runs(machine.place(np.array([5])), 2), skip=3),
            nfu=nest(Op.MAX, nbin_free=4),
            nbout=NboutStore(Runs(out, 4)),
        )
        machine.run(seed)
        results.append(machine.read(out, (2,)).tolist())
    assert [first for first, _ in results] == [5, 5, 5]
    assert results[0] == results[1] != results[2]


# Programs that must not run


def failure(machine: Handmade) -> ExecutionError:
    with pytest.raises(ExecutionError) as caught:
        machine.run()
    return caught.value


def copy(machine: Handmade, source: int, target: int, count: int, **options) -> None:
    """An instruction that moves ``count`` elements through the NFU."""
    machine.emit(
        nbin=NbinLoad(Runs(source, 2 * count), skip=4, **options),
        nfu=nest(Op.MAX, [Loop(count=count, nbin=1)], nbin_free=count + 4),
        nbout=NboutStore(Runs(target, 2, (count, 1, 1), (2, 0, 0))),
    )


def new_machine() -> tuple[Handmade, int, int]:
    """A machine with the identity as its activation, 100 elements, and room for 100 outputs."""
    machine = Handmade(CONFIGS[0])
    machine.table(Table((0,), (1, 1), (0, 0), 0))
    return machine, machine.place(np.arange(100)), machine.reserve(200)


def pc_of(machine: Handmade, instruction: int) -> int:
    return 8 * len(encode(machine.program[:instruction]))


def test_load_of_stored_bytes_needs_a_fence():
    for distance, fence, code in (
        (0, True, None),
        (0, False, 0),
        (198, False, 0),
        (200, False, None),
    ):
        machine, source, target = new_machine()
        copy(machine, source, target, 100)
        last = machine.reserve(200)
        copy(machine, target + distance, last, 4, fence=fence)
        if code is None:
            machine.run()
            expected = [0, 1, 2, 3] if distance == 0 else [0, 0, 0, 0]
            assert machine.read(last, (4,)).tolist() == expected
        else:
            error = failure(machine)
            assert "without a fence" in str(error)
            assert (error.code, error.pc) == (ErrorCode.NONE, pc_of(machine, -1))


def test_load_between_stored_bytes_needs_no_fence():
    machine, source, target = new_machine()
    machine.emit(
        nbin=NbinLoad(Runs(source, 20)),
        nfu=nest(Op.MAX, [Loop(count=7, nbin=1)], nbin_free=10),
        nbout=NboutStore(Runs(target, 2, (7, 1, 1), (4, 0, 0))),
    )
    for offset in (2, 4):
        machine.emit(nbin=NbinLoad(Runs(target + offset, 2, (6, 1, 1), (4, 0, 0))))
    error = failure(machine)
    assert "without a fence" in str(error)
    assert error.pc == pc_of(machine, -1)


def test_fence_covers_only_the_stores_before_it():
    machine, source, target = new_machine()
    copy(machine, source, target, 10)
    copy(machine, target, target + 40, 10, fence=True)
    copy(machine, target, target + 80, 10)
    copy(machine, target + 40, target + 120, 10)
    assert "without a fence" in str(failure(machine))


def test_synapses_must_not_be_stored():
    machine, source, target = new_machine()
    copy(machine, source, target, 100)
    copy(machine, source, machine.reserve(8), 1, fence=True)
    machine.emit(sb=SbLoad(Runs(target, 16)))
    error = failure(machine)
    assert "no fence can order" in str(error)
    assert error.code == ErrorCode.NONE


def test_program_must_not_be_stored():
    machine, source, _ = new_machine()
    copy(machine, source, machine.reserve(0), 100)  # right where the program will be
    assert "stores into the running program" in str(failure(machine))


@pytest.mark.parametrize("ahead", [0, 1])
def test_loads_that_no_nest_makes_room_for(ahead):
    """The first load fits NBin, more wait in unit and queue; one too many shuts out the nest."""
    machine, _, _ = new_machine()
    capacity, slots = machine.config.nbin_elements, machine.config.queue + 1
    source = machine.place(np.zeros(capacity))
    count = 1 + slots + ahead
    for _ in range(count):
        machine.emit(nbin=NbinLoad(Runs(source, 2 * capacity)))
    second = pc_of(machine, 1 - count)
    machine.emit(
        nfu=nest(Op.MAX, [Loop(count=count, nbin=capacity, nbin_free=capacity, reduce=True)]),
        nbout=NboutStore(Runs(machine.reserve(8), 4)),
    )
    if not ahead:
        machine.run()
    else:
        error = failure(machine)
        assert "the load waits until" in str(error)
        assert (error.code, error.pc) == (ErrorCode.WATCHDOG, second)


@pytest.mark.parametrize("beyond", [0, 1])
def test_reads_reach_to_the_last_entry_of_a_ring(beyond):
    """Of more data than fits, exactly the buffer's capacity from the tail on can be read."""
    machine, _, target = new_machine()
    elements, rows = machine.config.nbin_elements, machine.config.sb_rows
    machine.emit(
        nbin=NbinLoad(Runs(0, 2 * elements + 2)),
        nfu=nest(Op.MAX, nbin=elements - machine.config.ti + beyond, nbin_free=1),
        nbout=NboutStore(Runs(target, 4)),
    )
    if beyond:
        assert failure(machine).code == ErrorCode.NBIN_RANGE
        machine.program.pop()
    machine.emit(
        sb=SbLoad(Runs(0, 8, (rows + 1, 1, 1))), nfu=nest(Op.BIAS, sb=rows - 1 + beyond, sb_free=1)
    )
    if beyond:
        assert failure(machine).code == ErrorCode.SB_RANGE
    else:
        machine.run()


def test_load_that_never_ends():
    machine, _, _ = new_machine()
    rows = machine.config.sb_rows + 1
    machine.emit(sb=SbLoad(Runs(0, 8, (rows, 1, 1))))
    error = failure(machine)
    # All 16 rows of the activation table were freed.
    assert (error.code, error.pc) == (ErrorCode.WATCHDOG, pc_of(machine, -1))
    machine.emit(nfu=nest(Op.BIAS, sb_free=1))
    machine.run()


@pytest.mark.parametrize("ahead", [0, 1])
def test_outputs_that_no_store_takes(ahead):
    """A nest fills NBout, more wait in the queue; one too many shuts out the store."""
    machine, source, target = new_machine()
    rows = machine.config.nbout_rows + 1
    machine.emit(
        nbin=NbinLoad(Runs(source, 8)),
        sb=SbLoad(Runs(source, 8)),
        nfu=nest(Op.MAX, [Loop(count=rows)]),
    )
    full = pc_of(machine, -1)
    for _ in range(machine.config.queue + ahead):
        machine.emit(nfu=nest(Op.BIAS))
    machine.emit(nbout=NboutStore(Runs(target, 4, (rows, 1, 1))))
    if not ahead:
        machine.run()
    else:
        error = failure(machine)
        assert "NBout is full before the nest ends" in str(error)
        assert (error.code, error.pc) == (ErrorCode.WATCHDOG, full)


@pytest.mark.parametrize("enough", [True, False])
def test_room_freed_by_a_nest_that_waits_for_its_store(enough):
    """The NFU stops before the first row without room; what it freed until then can be loaded."""
    machine, _, target = new_machine()
    config = machine.config
    rows = config.nbout_rows
    freed = 3 * rows + 2  # three steps a row, each of which frees one element
    count = config.nbin_elements + freed + (not enough)
    source = machine.place(np.zeros(count))
    machine.emit(
        nbin=NbinLoad(Runs(source, 2 * count)),
        nfu=nest(
            Op.MAX,
            [Loop(count=3, nbin=1, nbin_free=1, reduce=True), Loop(count=rows + 9, nbin=3)],
        ),
    )
    long_load = pc_of(machine, -1)
    for _ in range(config.queue + 1):
        machine.emit(nbin=NbinLoad(Runs(source, 2)))
    machine.emit(nbout=NboutStore(Runs(target, 2, (rows + 9, 1, 1))))
    if enough:
        machine.run()
    else:
        error = failure(machine)
        assert (error.code, error.pc) == (ErrorCode.WATCHDOG, long_load)


def test_store_without_outputs():
    machine, _, target = new_machine()
    machine.emit(nbout=NboutStore(Runs(target, 5)))
    error = failure(machine)
    assert (error.code, error.pc) == (ErrorCode.WATCHDOG, pc_of(machine, -1))
    assert "takes 2 output rows" in str(error)


def test_outputs_without_store():
    machine, source, _ = new_machine()
    machine.emit(nbin=NbinLoad(Runs(source, 8)), nfu=nest(Op.MAX))
    assert "1 finished output rows were never stored" in str(failure(machine))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": NfuIn.NBOUT}, "row 0 of NBout has no partial sums"),
        ({"op": Op.MAC}, "bias row 0 was never loaded"),
        ({"loops": [Loop(count=2), Loop(count=2, reduce=True)]}, "used by two accumulations"),
        ({"loops": [Loop(count=2, nbout=1, reduce=True)]}, "must stay on one row"),
        ({"loops": [Loop(count=2)], "target": NfuOut.NBOUT}, "used by two accumulations"),
    ],
)
def test_undefined_sums(options, message):
    machine, source, _ = new_machine()
    machine.emit(
        nbin=NbinLoad(Runs(source, 8)),
        sb=SbLoad(Runs(source, 16)),
        nfu=nest(options.pop("op", Op.MAX), **options),
    )
    error = failure(machine)
    assert message in str(error)
    assert (error.code, error.pc) == (ErrorCode.NONE, pc_of(machine, -1))


def test_parked_sums_are_not_overwritten():
    machine, source, _ = new_machine()
    machine.emit(nbin=NbinLoad(Runs(source, 8)), nfu=nest(Op.MAX, target=NfuOut.NBOUT, nbout=3))
    machine.emit(nfu=nest(Op.MAX, [Loop(count=2, reduce=True)], nbout=3))
    assert "row 3 of NBout still holds parked partial sums" in str(failure(machine))


def test_only_neurons_are_compared():
    machine, _, _ = new_machine()
    source = machine.place(np.full(4, 20000))
    twice = [Loop(count=2, reduce=True)]
    machine.emit(
        nbin=NbinLoad(Runs(source, 8)), nfu=nest(Op.SUM, twice, target=NfuOut.NBOUT, nbout=3)
    )
    machine.emit(nfu=nest(Op.MAX, source=NfuIn.NBOUT, nbout=3))
    assert "partial sums only if they fit 16 bits" in str(failure(machine))


def test_activation_needs_a_table():
    machine = Handmade(CONFIGS[0])
    machine.emit(nbin=NbinLoad(Runs(0, 8)), nfu=nest(Op.MAX))
    assert "activation table was never loaded" in str(failure(machine))


def test_accumulator_must_not_overflow():
    machine, _, target = new_machine()
    machine.config = machine.config.replace(max_reduction=1)
    source = machine.place(np.full(4, -32768))
    machine.emit(
        nbin=NbinLoad(Runs(source, 8)),
        sb=SbLoad(Runs(source, 8)),
        nfu=nest(Op.BIAS),
    )
    machine.emit(
        sb=SbLoad(Runs(machine.place(np.full(8, -32768)), 16)),
        nfu=nest(Op.MAC, [Loop(count=9, reduce=True)], sb=1),
        nbout=NboutStore(Runs(target, 4)),
    )
    assert "sums must fit 33 bits" in str(failure(machine))


@pytest.mark.parametrize(
    ("slots", "code"),
    [
        ({"nbin": NbinLoad(Runs((1 << 20) - 6, 8))}, ErrorCode.BUS_NBIN),
        ({"nbin": NbinLoad(Runs(16, 8, (3, 1, 1), (-16, 0, 0)))}, ErrorCode.BUS_NBIN),
        ({"nbin": NbinLoad(Runs(0, 3))}, ErrorCode.NONE),
        ({"sb": SbLoad(Runs((1 << 20) - 16, 16, (2, 1, 1), (8, 0, 0)))}, ErrorCode.BUS_SB),
        ({"sb": SbLoad(Runs(0, 24))}, ErrorCode.SB_RANGE),
        ({"sb": SbLoad(Runs(0, 4))}, ErrorCode.SB_RANGE),
        ({"nfu": nest(Op.MAX), "nbin": NbinLoad(Runs(0, 8)),
          "nbout": NboutStore(Runs((1 << 20) - 2, 4))}, ErrorCode.BUS_NBOUT),
        ({"nfu": nest(Op.MAX, nbin=1), "nbin": NbinLoad(Runs(0, 8))}, ErrorCode.WATCHDOG),
    ],
)  # fmt: skip
def test_faults_of_slots(slots, code):
    machine, _, _ = new_machine()
    machine.emit(**slots)
    error = failure(machine)
    assert (error.code, error.pc) == (code, pc_of(machine, -1))


def run_words(words: np.ndarray, address: int = 64, size: int | None = None):
    memory = np.zeros(1 << 12, dtype=np.uint8)
    memory[address : address + words.nbytes] = words.view(np.uint8)
    return Interpreter(CONFIGS[0], memory).run(address, words.nbytes if size is None else size)


def test_illegal_instruction_comes_after_the_faults_before_it():
    load, end = Instruction(nbin=NbinLoad(Runs(0, 8))), Instruction(end=True)
    words = encode([load, load, end])
    second = 8 * len(encode([load]))
    words[second // 8] ^= 1
    with pytest.raises(ExecutionError) as caught:
        run_words(words)
    assert (caught.value.code, caught.value.pc) == (ErrorCode.ILLEGAL_INSTRUCTION, second)

    words = encode([Instruction(nbin=NbinLoad(Runs(1 << 12, 8))), load, end])
    words[second // 8] ^= 1
    with pytest.raises(ExecutionError) as caught:
        run_words(words)
    assert (caught.value.code, caught.value.pc) == (ErrorCode.BUS_NBIN, 0)


def test_end_of_program():
    """Without END; cut off in an instruction; and anything may follow an END."""
    load, end = Instruction(nbin=NbinLoad(Runs(0, 8))), Instruction(end=True)
    words = encode([load, load])
    for cut, pc in ((len(words), len(words)), (len(words) - 1, len(words) // 2)):
        with pytest.raises(ExecutionError) as caught:
            run_words(words[:cut])
        assert (caught.value.code, caught.value.pc) == (ErrorCode.END_OF_PROGRAM, 8 * pc)
    words = np.concatenate([encode([load, end]), np.zeros(5, dtype=np.uint64)])
    assert run_words(words).bytes["cp"] == words.nbytes - 40


def test_bad_start():
    words = encode([Instruction(end=True)])
    for address, size, code in (
        (60, 8, ErrorCode.ILLEGAL_INSTRUCTION),
        (64, 0, ErrorCode.END_OF_PROGRAM),
        (64, 12, ErrorCode.END_OF_PROGRAM),
        (64, 4096, ErrorCode.BUS_CP),
    ):
        with pytest.raises(ExecutionError) as caught:
            run_words(words, address, size)
        assert (caught.value.code, caught.value.pc) == (code, 0)
    with pytest.raises(ValueError, match="memory must be a contiguous array of uint8"):
        Interpreter(CONFIGS[0], np.zeros(64))
