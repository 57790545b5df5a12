"""The Verilator harness and its memory, examined with a device that does single bursts."""

import shutil

import numpy as np
import pytest

from hw.bus.axi import Response
from hw.errors import UserError
from sim.cosim import to_verilog
from sim.memory import Fault, MemorySettings
from sim.ports import MemoryPort
from sim.verilator import Model, build
from sim.verilator.model import ALWAYS

from .probe import REGISTERS, Probe

NARROW = (32, 64, 32)
WIDE = (256, 4096, 1024)
SIZE = 1 << 16


def ports(widths) -> tuple[MemoryPort, ...]:
    return (
        MemoryPort("nbin", widths[0], False, ("nbin",)),
        MemoryPort("sb", widths[1], False, ("sb",)),
        MemoryPort("nbout", widths[2], True, ("nbout",)),
    )


class Bench:
    """The probe in Verilator with a memory of random bytes."""

    def __init__(self, widths, settings=None, trace=None, trace_file=None, window=ALWAYS):
        self.widths = widths
        library = build(to_verilog(Probe(widths=widths), "probe"), "probe", ports(widths),
                        trace=trace)  # fmt: skip
        self.model = Model(library, ports(widths), settings, trace=trace_file, window=window)
        self.before = np.random.default_rng(1).integers(0, 256, SIZE, dtype=np.uint8)
        self.model.attach(self.before.copy())

    def bursts(self, which: int, **registers) -> dict[str, int]:
        """Do bursts on the ports of ``which`` and return all registers afterwards."""
        for name, value in registers.items():
            self.model.write_register(4 * REGISTERS.index(name), value)
        self.model.write_register(0, which)
        assert self.model.run(100_000), "the probe does not come to an end"
        return {name: self.model.read_register(4 * n) for n, name in enumerate(REGISTERS)}

    def beats(self, port: int, address: int, count: int) -> np.ndarray:
        """What memory held before, as rows of one beat."""
        width = self.widths[port] // 8
        return self.before[address : address + count * width].reshape(count, width)

    def total(self, port: int, address: int, count: int) -> int:
        """The sum of the low 32 bits of the beats, as the probe forms it."""
        words = np.ascontiguousarray(self.beats(port, address, count)[:, :4]).view("<u4")
        return int(words.sum(dtype=np.uint64)) & 0xFFFFFFFF


@pytest.mark.parametrize("widths", [NARROW, WIDE])
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_bursts_move_the_right_bytes(widths, stall):
    bench = Bench(widths, MemorySettings(latency=7, stall=stall, seed=3))
    got = bench.bursts(7, address=0x2000, beats=4, bursts=6, pattern=0x1234_5678)
    assert got["errors"] == 0
    # The probe writes while it reads; what it reads is from before.
    written = 24 * widths[2] // 8
    words = np.repeat(0x1234_5678 + np.arange(24, dtype=np.uint32), widths[2] // 32)
    assert (bench.model.memory[0x2000 : 0x2000 + written].view("<u4") == words).all()
    after = bench.model.memory.copy()
    after[0x2000 : 0x2000 + written] = bench.before[0x2000 : 0x2000 + written]
    assert (after == bench.before).all(), "bytes outside the bursts changed"
    again = Bench(widths, MemorySettings(latency=7, stall=stall, seed=3))
    got = again.bursts(3, address=0x2000, beats=4, bursts=6)
    assert got["sum_nbin"] == again.total(0, 0x2000, 24)
    assert got["sum_sb"] == again.total(1, 0x2000, 24)


@pytest.mark.parametrize("latency", [1, 2, 100])
def test_latency_is_exact_and_a_stream_has_no_gaps(latency):
    bench = Bench(NARROW, MemorySettings(latency=latency))
    got = bench.bursts(1, address=0x1000, beats=8, bursts=5)
    # One cycle to offer the address, then the latency, then one beat per cycle.
    assert got["first_beat"] == 1 + latency
    assert got["cycles_nbin"] == latency + 8 * 5
    # The response of a write comes the latency after its last beat.
    got = bench.bursts(4, address=0x1000, beats=8, bursts=1)
    assert got["cycles_nbout"] == 8 + latency


def test_bandwidth_is_shared_fairly():
    # 4 + 8 bytes per cycle are wanted, 3 are there.
    bench = Bench(NARROW, MemorySettings(latency=5, bandwidth=3))
    got = bench.bursts(3, address=0, beats=16, bursts=10)
    total = 160 * (4 + 8)
    assert got["cycles_sb"] == pytest.approx(total / 3, rel=0.03)
    # Equal numbers of beats: both get one in turn, so they end together.
    assert got["cycles_nbin"] == pytest.approx(got["cycles_sb"], rel=0.03)
    profile = bench.model.profile()[0]
    assert profile["bytes"].tolist() == [160 * 4, 160 * 8, 0, 0]


def test_profile_counts_by_tag():
    bench = Bench(NARROW, MemorySettings(latency=5))
    bench.bursts(5, address=0x1000, beats=4, bursts=3, tag=77)
    quiet = bench.model.profile()[77]
    cycles = bench.bursts(5, address=0x1000, beats=4, bursts=3, tag=77)
    profile = bench.model.profile()[77]
    assert profile["bytes"].tolist() == [2 * 48, 0, 2 * 48, 0]
    assert quiet["bytes"].tolist() == [48, 0, 48, 0]
    assert profile["active"] - quiet["active"] >= cycles["cycles_nbout"]
    assert profile["stalls"].sum() >= profile["active"]


def test_addresses_outside_answer_decerr():
    bench = Bench(NARROW)
    assert bench.bursts(1, address=SIZE - 16, beats=4, bursts=1)["errors"] == 0
    assert bench.bursts(1, address=SIZE, beats=1, bursts=1)["errors"] == Response.DECERR.value
    assert bench.bursts(4, address=SIZE, beats=1, bursts=1)["errors"] == Response.DECERR.value
    assert (bench.model.memory == bench.before).all()


@pytest.mark.parametrize("response", [Response.SLVERR, Response.DECERR])
def test_faults_answer_on_their_port_and_range(response):
    bench = Bench(NARROW)
    bench.model.set_faults(Fault(0x100, 0x103, response, "nbin"), Fault(0x200, 0x200, response))
    expected = {(1, 0x100): True, (2, 0x100): False, (1, 0x104): False, (1, 0xFC): False,
                (2, 0x200): True, (4, 0x200): True, (4, 0x208): False}  # fmt: skip
    for (which, address), fails in expected.items():
        got = bench.bursts(which, address=address, beats=1, bursts=1)
        assert got["errors"] == (response.value if fails else 0), (which, hex(address))
    bench.model.set_faults()
    assert bench.bursts(1, address=0x100, beats=1, bursts=1)["errors"] == 0


def test_a_write_appears_with_its_response_and_a_read_samples_at_its_address():
    bench = Bench(NARROW, MemorySettings(latency=50))
    bench.bursts(4, address=0x400, beats=1, bursts=1, pattern=1)  # start value
    for name, value in {"pattern": 2, "beats": 1, "bursts": 1}.items():
        bench.model.write_register(4 * REGISTERS.index(name), value)
    bench.model.write_register(0, 5)  # the same address is read and written at once
    bench.model.run(40)
    assert bench.model.memory[0x400] == 1, "written before the response"
    bench.model.run(1000)
    assert bench.model.memory[0x400] == 2
    assert bench.model.read_register(4 * REGISTERS.index("sum_nbin")) == 1


def test_breaches_of_axi_are_reported():
    bench = Bench(NARROW)
    with pytest.raises(RuntimeError, match="port nbin has a burst that crosses 4 KiB"):
        bench.bursts(1, address=0xFF8, beats=4, bursts=1)


def test_unknown_register_is_an_error():
    bench = Bench(NARROW)
    with pytest.raises(RuntimeError, match="read of register 0x100 failed: SLVERR"):
        bench.model.read_register(0x100)
    with pytest.raises(RuntimeError, match="write of register 0x100 failed: SLVERR"):
        bench.model.write_register(0x100, 1)


def test_progress_and_limit():
    seen = []
    bench = Bench(NARROW)
    bench.model._progress = seen.append
    assert not bench.model.run(50_000)
    assert seen[-1] - seen[0] >= 20_000
    assert len(seen) == 3


def test_missing_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="install it: apt-get install g"):
        build("module probe; endmodule", "probe", ports(NARROW))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("latency", 0, "latency must be at least 1 cycle, not 0"),
        ("bandwidth", 0, "bandwidth must be at least 1 byte per cycle, not 0"),
        ("stall", 1.0, "stall must be at least 0 and below 1, not 1.0"),
    ],
)
def test_settings_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        MemorySettings(**{field: value})
