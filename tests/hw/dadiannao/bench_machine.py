"""Two nodes and the mesh between them, through their registers and the host's memory."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from compiler.dadiannao import lower
from hw.arith.numbers import bounds
from hw.dadiannao.assembler import Instruction, Load, Read, Send, Store, encode
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.csr import COUNTERS, register_map
from hw.dadiannao.instructions import NO_RUNS, CopyLevel
from hw.dadiannao.isa import ErrorCode, LoadOp, ReadOp, SendOp
from hw.diannao.instructions import Runs
from sim import golden
from tests.compiler.networks import Network
from tests.hw.bus.patterns import pauses
from tests.hw.dadiannao.bench_centre import Host, starts
from tests.hw.dadiannao.centre_programs import addresses, rows
from tests.streams import dut_config, start

CONFIG = NodeConfig(**dut_config())
MAP = register_map(CONFIG)
NODES = range(CONFIG.nodes)
END = Instruction(end=True)


class Bench:
    """The machine with its host."""

    def __init__(self, dut, stall: bool):
        self.dut = dut
        self.stall = stall
        self.rng = random.Random(cocotb.RANDOM_SEED)

    async def start(self):
        dut = self.dut
        bus = ("arready rvalid awready wready bvalid rid rdata rresp rlast bid bresp").split()
        csr = ("arvalid araddr arprot rready awvalid awaddr awprot wvalid wdata wstrb "
               "bready").split()  # fmt: skip
        inputs = {f"bus__{name}": 0 for name in bus} | {f"csr__{name}": 0 for name in csr}
        await start(dut, link_hold=0, **inputs)
        self.host = Host()
        ram: Any = AxiSlave(AxiBus.from_prefix(dut, "bus_"), dut.clk, target=self.host)
        self.registers: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "csr_"), dut.clk)
        for channel in (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel,
                        ram.read_if.ar_channel, ram.read_if.r_channel):  # fmt: skip
            if self.stall:
                channel.set_pause_generator(pauses(self.rng))
        for each in (ram.write_if, ram.read_if, self.registers.write_if, self.registers.read_if):
            each.log.setLevel("CRITICAL")

    async def read(self, node: int, name: str) -> int:
        return await self.registers.read_dword((node << 12) + MAP[name].offset)

    async def write(self, node: int, name: str, value: int):
        await self.registers.write_dword((node << 12) + MAP[name].offset, value)

    async def counters(self, node: int) -> dict[str, int]:
        return {
            name: await self.read(node, f"{name}_LO") | await self.read(node, f"{name}_HI") << 32
            for name in COUNTERS
        }

    async def launch(self, programs: list[tuple[int, int]], watchdog: int = 20000):
        """Start (address, bytes) on every node."""
        for node, (address, size) in enumerate(programs):
            await self.write(node, "PROGRAM_LO", address)
            await self.write(node, "PROGRAM_SIZE", size)
            await self.write(node, "WATCHDOG", watchdog)
            await self.write(node, "IRQ_ENABLE", 3)
            await self.write(node, "CONTROL", 1)

    async def assemble(self, programs: list[list[Instruction]], watchdog: int = 20000):
        """Start instructions on every node."""
        places = []
        for node, program in enumerate(programs):
            words = encode(program).astype("<u8").tobytes()
            address = len(self.host.content) // 2 + node * 0x2000
            self.host.content[address : address + len(words)] = words
            places.append((address, len(words)))
        await self.launch(places, watchdog)

    async def finish(self, limit: int = 100000) -> list[ErrorCode]:
        """Wait for all nodes; how each of them ended."""
        ended = set()
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.dut.irq.value == 1:
                for node in NODES:
                    if await self.read(node, "IRQ_STATUS"):
                        await self.write(node, "IRQ_STATUS", 3)
                        ended.add(node)
            if len(ended) == CONFIG.nodes:
                break
        assert len(ended) == CONFIG.nodes, f"only nodes {ended} have ended"
        for _ in range(limit):
            if not any([await self.read(node, "STATUS") & 1 for node in NODES]):
                break
        return [ErrorCode(await self.read(node, "ERROR")) for node in NODES]


def random_nest(rng: random.Random, run: int) -> tuple[int, int, tuple[CopyLevel, ...]]:
    """Loops over rows here and there that stay inside, and do not meet there."""
    while True:
        counts = [run, *(rng.choice((1, 2, 3)) for _ in range(3))]
        levels = tuple(
            CopyLevel(count, rng.randint(-5, 5), rng.choice((1, -1, 7, rng.randint(-30, 30))))
            for count in counts
        )
        here, there = addresses(0, levels), addresses(0, levels, "to_step")
        if len(set(there)) < len(there):
            continue
        if max(max(here) - min(here), max(there) - min(there)) < CONFIG.central_rows:
            return -min(here), CONFIG.central_rows - 1 - max(there), levels


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def exchanges_rows(dut):
    """Both nodes send each other rows at the same time; they lie where the heads say."""
    bench = Bench(dut, True)
    await bench.start()
    rng, row = bench.rng, CONFIG.row_bytes
    size = CONFIG.central_rows * row
    for _ in range(2):
        contents = [rng.randbytes(size) for _ in NODES]
        programs, checks = [[] for _ in NODES], []
        sends = {
            node: [random_nest(rng, rng.choice((1, 4, 9))) for _ in range(4)] for node in NODES
        }
        total = {node: sum(len(addresses(0, n[2])) for n in sends[node]) for node in NODES}
        for node in NODES:
            base = node * size
            bench.host.content[base : base + size] = contents[node]
            fill = rows((CONFIG.central_rows, 1))
            programs[node].append(
                Instruction(load=Load(Runs(base, size), LoadOp.CENTRAL, levels=fill))
            )
            for address, to_address, levels in sends[node]:
                send = Send(
                    bank=0, to_bank=1, node=1 - node, address=address, to_address=to_address,
                    levels=levels,
                )  # fmt: skip
                programs[node].append(Instruction(fence=True, send=send))
        for node in NODES:
            other = 1 - node
            mask = Instruction(read=Read(ReadOp.MASK, mask=0, tiles=1))
            early = sends[other][0][2]
            wait = Read(ReadOp.WAIT, source=other, arrivals=len(addresses(0, early)))
            all_of_it = Read(ReadOp.BROADCAST, source=other, arrivals=total[other])
            own = Send(SendOp.WAIT, source=node)  # of itself nobody gets anything
            programs[node] += [
                mask,
                Instruction(read=wait, send=own),
                Instruction(read=all_of_it),
                Instruction(send=Send(SendOp.WAIT, source=other, arrivals=total[other])),
            ]
            # What a later nest puts over an earlier one counts.
            final = {}
            for address, to_address, levels in sends[other]:
                pairs = zip(
                    addresses(address, levels), addresses(to_address, levels, "to_step"),
                    strict=True,
                )  # fmt: skip
                final.update({there: here for here, there in pairs})
            for n, (there, here) in enumerate(sorted(final.items())[:40]):
                target = 2 * size + (node * 40 + n) * row
                store = Store(Runs(target, row), bank=1, address=there)
                programs[node].append(Instruction(fence=n == 0, store=store))
                checks.append((target, contents[other][here * row :][:row]))
            programs[node].append(END)
        await bench.assemble(programs)
        assert await bench.finish() == [ErrorCode.NONE] * CONFIG.nodes
        for target, expected in checks:
            assert bench.host.content[target : target + row] == expected
        for node in NODES:
            counters = await bench.counters(node)
            assert counters["ROWS_SENT"] == total[node]
            assert counters["ROWS_RECEIVED"] == total[1 - node]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def runs_networks(dut):
    """A compiled network, every tensor against golden."""
    bench = Bench(dut, False)
    await bench.start()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        net = Network(CONFIG.core, seed)
        x = net.input(1, *(int(size) for size in rng.integers(3, 7, 3)))
        conv = net.conv(x, 5, (3, 2), (1, 1), (1, 0, 1, 1), 1)
        pool = net.pool(conv, "max", (2, 2), (2, 2), (0, 0, 0, 0), False)
        gemm = net.gemm(pool, 7)
        graph = net.graph(conv, pool, gemm)
        program = lower(graph, CONFIG)
        low, high = bounds(graph.width)
        inputs = {n: rng.integers(low, high + 1, graph.tensors[n].shape) for n in graph.inputs}
        memory = program.memory()
        for name, value in inputs.items():
            program.inputs[name].write(memory, value)
        bench.host.content = bytearray(memory.tobytes())
        await bench.launch([(address, 8 * len(words)) for address, words in program.nodes])
        assert await bench.finish() == [ErrorCode.NONE] * CONFIG.nodes
        after = np.frombuffer(bytes(bench.host.content), np.uint8)
        expected = golden.run(graph, inputs).tensors
        for name, layout in program.outputs.items():
            np.testing.assert_array_equal(layout.read(after), expected[name], err_msg=name)
        for node in NODES:
            assert (await bench.counters(node))["NFU_ACTIVE"] > 0


def passing(count: int) -> list[list[Instruction]]:
    """Node 0 sends rows to node 1, which waits for them and stores the last one."""
    some = rows((count, 1))
    copies = (CopyLevel(count, 1, 1), *(CopyLevel(),) * 3)
    last = Store(Runs(64, CONFIG.row_bytes), bank=1, address=count - 1)
    return [
        [
            Instruction(load=Load(Runs(1024, count * CONFIG.row_bytes), LoadOp.CENTRAL,
                                  levels=some)),
            Instruction(fence=True, send=Send(node=1, to_bank=1, levels=copies)),
            END,
        ],
        [
            Instruction(load=Load(NO_RUNS, LoadOp.CLEAR)),
            Instruction(read=Read(ReadOp.MASK, mask=0, tiles=1)),
            Instruction(fence=True, read=Read(ReadOp.BROADCAST, arrivals=count)),
            Instruction(fence=True, store=last),
            END,
        ],
    ]  # fmt: skip


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_a_stuck_link(dut):
    """The watchdogs end it; node 0 says which nodes have failed, and which link was waiting."""
    bench = Bench(dut, False)
    await bench.start()
    count = 2 * CONFIG.link_buffer  # more than the mesh takes before the link
    programs = passing(count)
    dut.link_hold.value = (1 << len(CONFIG.mesh.links)) - 1
    await bench.assemble(programs, watchdog=400)
    assert await bench.finish() == [ErrorCode.WATCHDOG] * 2
    assert await bench.read(0, "ERROR_PC") == starts(programs[0])[1]
    assert await bench.read(1, "ERROR_PC") == starts(programs[1])[2]
    assert await bench.read(0, "NODE_ERRORS_LO") == 3
    assert await bench.read(0, "NODE_ERRORS_HI") == 0
    assert await bench.read(0, "LINK_WAITING") == 1
    assert await bench.read(1, "NODE_ERRORS_LO") == 0
    assert await bench.read(1, "NODE") == 1

    # One node fails alone; what it has sent is forgotten.
    dut.link_hold.value = 0
    for wait in (400, 600):
        await bench.assemble(programs, watchdog=0)
        for _ in range(wait):
            await RisingEdge(dut.clk)
        for node in NODES:
            await bench.write(node, "CONTROL", 2)
        for _ in range(200):
            await RisingEdge(dut.clk)
        for node in NODES:
            assert await bench.read(node, "STATUS") == 0
            await bench.write(node, "IRQ_STATUS", 3)

    content = bench.rng.randbytes(count * CONFIG.row_bytes)
    bench.host.content[1024 : 1024 + len(content)] = content
    await bench.assemble(programs)
    assert await bench.finish() == [ErrorCode.NONE] * 2
    assert await bench.read(0, "NODE_ERRORS_LO") == 0
    size = CONFIG.row_bytes
    assert bench.host.content[64 : 64 + size] == content[-size:]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reports_sends_outside(dut):
    """Rows outside the other node's memory, nodes outside the machine, and waits for nothing."""
    bench = Bench(dut, False)
    await bench.start()
    clear = Instruction(load=Load(NO_RUNS, LoadOp.CLEAR, levels=rows((2, 1))))
    last = CONFIG.central_rows - 1
    copies = (CopyLevel(2, 0, 1), *(CopyLevel(),) * 3)
    for slot, code in (
        (Send(node=1, to_address=last, levels=copies), ErrorCode.CENTRAL_RANGE),
        (Send(node=1, address=last + 1), ErrorCode.CENTRAL_RANGE),
        (Send(node=CONFIG.nodes), ErrorCode.NODE_RANGE),
        (Send(node=0), ErrorCode.NODE_RANGE),
        (Send(node=1, source=CONFIG.nodes), ErrorCode.NODE_RANGE),
        (Send(SendOp.WAIT, source=CONFIG.nodes), ErrorCode.NODE_RANGE),
        (Send(SendOp.WAIT, source=0, arrivals=1), ErrorCode.WATCHDOG),
        (Send(SendOp.WAIT, source=1, arrivals=1), ErrorCode.WATCHDOG),
        (Read(ReadOp.WAIT, source=CONFIG.nodes), ErrorCode.NODE_RANGE),
        (Read(ReadOp.WAIT, source=0, arrivals=1), ErrorCode.WATCHDOG),
        (Read(ReadOp.WAIT, source=1, arrivals=1), ErrorCode.WATCHDOG),
    ):
        waiting = Instruction(
            fence=True, read=slot if isinstance(slot, Read) else None,
            send=slot if isinstance(slot, Send) else None,
        )  # fmt: skip
        program = [clear, waiting, END]
        await bench.assemble([program, [END]], watchdog=500)
        assert await bench.finish() == [code, ErrorCode.NONE]
        assert await bench.read(0, "ERROR_PC") == starts(program)[1]
        assert await bench.read(0, "NODE_ERRORS_LO") == 1
