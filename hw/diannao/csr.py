"""The register map of the DianNao core, declared once, and the component behind it."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..bus.axi import AxiLitePort
from ..bus.csr import RegisterBlock
from ..bus.registers import Access, Field, Register, RegisterMap
from .config import Config
from .counters import Counters
from .events import Events, Stall
from .isa import ErrorCode

__all__ = [
    "ADDRESS_WIDTH",
    "COUNTERS",
    "IDENTIFICATION",
    "VERSION",
    "Csr",
    "markdown",
    "read_config",
    "register_map",
]

ADDRESS_WIDTH = 12
"""Bits of an address of the control port: the core takes 4 KiB of a bus."""

IDENTIFICATION = 0x4449414E
"""ASCII "DIAN", the first character highest."""

VERSION = (1, 0)
"""Major and minor version of register map and instruction set: a driver that knows another major
version cannot drive this core, one that knows a lower minor version can."""

COUNTERS = {
    "CYCLES": "cycles from start to the end of the program or of the clean-up after an error",
    "NFU_ACTIVE": "cycles with an NFU step of MAC, MAX or SUM",
    "STALL_NBIN": "cycles in which the NFU waited for neurons",
    "STALL_SB": "cycles in which the NFU waited for synapses or parameters",
    "STALL_NBOUT": "cycles in which the NFU waited for finished rows to be stored",
    "STALL_STORE": "cycles in which the NFU waited for neurons that waited for stores (fence)",
    "STALL_INSTRUCTION": "cycles in which the NFU had no instruction",
    "BYTES_NBIN": "bytes read for NBin",
    "BYTES_SB": "bytes read for SB",
    "BYTES_NBOUT": "bytes written from NBout",
    "BYTES_CP": "bytes of instructions read",
}
"""The 64-bit counters; start sets them to 0. A core without ``counters`` has only CYCLES, and no
register TAG."""

_CYCLES_ALONE = 40
"""Bits of CYCLES in a core that has no other counter: hours."""

_COUNTERS_OFFSET = 0x080
_CODES = ", ".join(f"{code.value} {code.name}" for code in ErrorCode)

_NFU3_MULTIPLIERS = ("", "dsp", "array", "adders")


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _config_registers(config: Config) -> list[Register]:
    """The configuration; ``read_config`` is the way back."""

    def constant(name, value, low, width, doc):
        return Field(name, doc, low, width, Access.CONSTANT, value)

    return [
        Register(
            "CONFIG_NFU", 0x010, "size of the NFU",
            (
                constant("tn", config.tn, 0, 16, "hardware neurons"),
                constant("ti", config.ti, 16, 16, "synapses per hardware neuron"),
            ),
        ),
        Register(
            "CONFIG_NUMBERS", 0x014, "number formats",
            (
                constant("width", config.width, 0, 8, "bits of a neuron or synapse"),
                constant("drop", config.drop, 8, 8, "columns that the multipliers leave out"),
                constant("acc_width", config.acc_width, 16, 8, "bits of a partial sum"),
                constant("segments", config.segments, 24, 7, "segments of the activation"),
                constant("array", config.multiplier == "array", 31, 1,
                         "1 partial-product arrays, 0 DSP blocks"),
            ),
        ),
        Register(
            "CONFIG_NBIN", 0x018, "NBin",
            (
                constant("rows", config.nbin_rows, 0, 16, "rows of Ti neurons"),
                constant("elements", config.nbin_elements, 16, 16, "capacity in neurons"),
            ),
        ),
        Register(
            "CONFIG_SB", 0x01C, "SB",
            (constant("rows", config.sb_rows, 0, 16, "rows of Tn x Ti synapses"),),
        ),
        Register(
            "CONFIG_NBOUT", 0x020, "NBout and bias buffer",
            (
                constant("rows", config.nbout_rows, 0, 16, "rows of Tn partial sums"),
                constant("bias_rows", config.bias_rows, 16, 16, "rows of Tn biases"),
            ),
        ),
        Register(
            "CONFIG_REDUCTION", 0x024, "accumulators",
            (constant("max_reduction", config.max_reduction, 0, 32,
                      "longest exact sum of products"),),
        ),
        Register(
            "CONFIG_PORTS", 0x028, "base-2 logarithms of the port widths in bits",
            (
                constant("nbin", _log2(config.nbin_port), 0, 8, "NBin port"),
                constant("sb", _log2(config.sb_port), 8, 8, "SB port"),
                constant("nbout", _log2(config.nbout_port), 16, 8, "NBout port"),
                constant("cp", _log2(config.cp_port), 24, 8, "instruction port"),
            ),
        ),
        Register(
            "CONFIG_BUS", 0x02C, "memory interface",
            (
                constant("address_width", config.address_width, 0, 8, "bits of an address"),
                constant("shared", config.shared_port, 8, 1, "1 if there is one port for all"),
                constant("outstanding", config.outstanding, 9, 9, "reads in flight per port"),
                constant("burst", config.burst, 18, 9, "longest burst in beats"),
                constant("burst_cycles", config.burst_cycles, 27, 2, "cycles for each burst"),
            ),
        ),
        Register(
            "CONFIG_QUEUES", 0x030, "queues",
            (
                constant("instruction_buffer", config.instruction_buffer, 0, 17,
                         "bytes of prefetched program"),
                constant("queue", config.queue, 24, 7, "instructions in front of each unit"),
                constant("counters", config.counters, 31, 1, "1 if there are all counters"),
            ),
        ),
        Register(
            "CONFIG_PIPELINE", 0x034, "read buffer and pipeline stages",
            (
                constant("nbin_fifo", config.nbin_fifo, 0, 11, "beats in front of NBin"),
                constant("operand_stages", config.operand_stages, 11, 3,
                         "stages of operand fetch"),
                constant("nfu1_stages", config.nfu1_stages, 16, 5, "stages of NFU-1"),
                constant("nfu2_stages", config.nfu2_stages, 21, 5, "stages of NFU-2"),
                constant("nfu3_stages", config.nfu3_stages, 26, 5, "stages of NFU-3"),
            ),
        ),
        Register(
            "CONFIG_NFU3", 0x038, "NFU-3 and options",
            (
                constant("lanes", config.nfu3_lanes, 0, 16,
                         "outputs that it makes at a time, 0 for all of a row"),
                constant("multiplier", _NFU3_MULTIPLIERS.index(config.nfu3_multiplier), 16, 2,
                         "0 as in NFU-1, 1 DSP blocks, 2 partial-product arrays, 3 adders"),
                constant("paced", config.paced, 18, 1, "1 if the NFU's pipeline never stops"),
                constant("engine", config.engine, 19, 1,
                         "1 if one engine makes the bursts of all units"),
            ),
        ),
    ]  # fmt: skip


def _counters(config: Config) -> list[str]:
    """The counters of a core."""
    return list(COUNTERS) if config.counters else ["CYCLES"]


def _counter_registers(config: Config) -> list[Register]:
    registers = []
    if config.counters:
        layer = Field("tag", "tag of the layer in the NFU", 0, 16)
        registers.append(Register("TAG", 0x068, "what the core works on", (layer,)))
    for n, name in enumerate(_counters(config)):
        doc = COUNTERS[name]
        offset = _COUNTERS_OFFSET + 8 * n
        low = Field("count", "lower half; a read keeps the upper half of this counter")
        high = Field("count", "upper half at the time of the last read of a lower half")
        registers.append(Register(f"{name}_LO", offset, doc, (low,)))
        registers.append(Register(f"{name}_HI", offset + 4, doc, (high,)))
    return registers


def _program_registers(config: Config) -> list[Register]:
    """Where the program is. Bits beyond the core's addresses are not kept."""
    low, high = min(config.address_width, 32), config.address_width - 32
    upper = Field("address", "upper half; bits beyond the address width read 0", width=max(high, 1),
                  access=Access.WRITE if high > 0 else Access.CONSTANT)  # fmt: skip
    return [
        Register("PROGRAM_LO", 0x048, "byte address of the program",
                 (Field("address", "lower half", width=low, access=Access.WRITE),)),
        Register("PROGRAM_HI", 0x04C, "byte address of the program", (upper,)),
        Register("PROGRAM_SIZE", 0x050, "size of the program",
                 (Field("size", "bytes; bits beyond the address width read 0", width=low,
                        access=Access.WRITE),)),
    ]  # fmt: skip


def register_map(config: Config) -> RegisterMap:
    """All registers of a core. Constants and what addresses need depend on the configuration."""
    write, pulse, event, constant = Access.WRITE, Access.PULSE, Access.EVENT, Access.CONSTANT
    version = VERSION[0] << 16 | VERSION[1]
    return RegisterMap(
        [
            Register("ID", 0x000, 'identification, ASCII "DIAN"',
                     (Field("id", "0x4449414E", access=constant, reset=IDENTIFICATION),)),
            Register("VERSION", 0x004, "version of register map and instruction set",
                     (Field("version", "major in bits 31:16, minor in bits 15:0",
                            access=constant, reset=version),)),
            *_config_registers(config),
            Register("CONTROL", 0x040, "commands", (
                Field("start", "run the program; ignored while busy", 0, 1, pulse),
                Field("reset", "soft reset: stop, finish what is on the buses, forget done and "
                      "error; settings stay", 1, 1, pulse),
            )),
            Register("STATUS", 0x044, "state of the core", (
                Field("busy", "from start until the core can be started again", 0, 1),
                Field("done", "the last program has ended; start or soft reset clears it", 1, 1),
                Field("error", "the last program has failed; start or soft reset clears it", 2, 1),
                Field("draining", "stopped, waits for what is outstanding on the buses", 3, 1),
            )),
            *_program_registers(config),
            Register("WATCHDOG", 0x054, "limit for cycles without progress",
                     (Field("cycles", "0 for no limit", access=write),)),
            Register("ERROR", 0x058, "why the program failed",
                     (Field("code", _CODES, 0, 8),)),
            Register("ERROR_PC", 0x05C, "where the program failed",
                     (Field("pc", "byte offset of the instruction from the program's start"),)),
            Register("IRQ_ENABLE", 0x060, "causes that raise the interrupt", (
                Field("done", "the program has ended", 0, 1, write),
                Field("error", "the program has failed", 1, 1, write),
            )),
            Register("IRQ_STATUS", 0x064, "causes that have occurred, enabled or not", (
                Field("done", "the program has ended", 0, 1, event),
                Field("error", "the program has failed", 1, 1, event),
            )),
            *_counter_registers(config),
        ]
    )  # fmt: skip


def read_config(read: Callable[[int], int], name: str = "core") -> Config:
    """The configuration of the core behind ``read``, which gives the register at a byte offset."""
    declared = register_map(Config())

    def fields(register: str) -> dict[str, int]:
        return declared[register].unpack(read(declared[register].offset))

    nfu, numbers, nbin = fields("CONFIG_NFU"), fields("CONFIG_NUMBERS"), fields("CONFIG_NBIN")
    sb, nbout, ports = fields("CONFIG_SB"), fields("CONFIG_NBOUT"), fields("CONFIG_PORTS")
    bus, queues, pipeline = (
        fields("CONFIG_BUS"), fields("CONFIG_QUEUES"), fields("CONFIG_PIPELINE")
    )  # fmt: skip
    nfu3 = fields("CONFIG_NFU3")
    return Config(
        name=name,
        **nfu,
        width=numbers["width"],
        drop=numbers["drop"],
        multiplier="array" if numbers["array"] else "dsp",
        segments=numbers["segments"],
        nbin_rows=nbin["rows"],
        sb_rows=sb["rows"],
        nbout_rows=nbout["rows"],
        bias_rows=nbout["bias_rows"],
        max_reduction=fields("CONFIG_REDUCTION")["max_reduction"],
        **{f"{port}_port": 1 << log2 for port, log2 in ports.items()},
        shared_port=bool(bus["shared"]),
        address_width=bus["address_width"],
        outstanding=bus["outstanding"],
        burst=bus["burst"],
        burst_cycles=bus["burst_cycles"],
        instruction_buffer=queues["instruction_buffer"],
        queue=queues["queue"],
        counters=bool(queues["counters"]),
        **pipeline,
        nfu3_lanes=nfu3["lanes"],
        nfu3_multiplier=_NFU3_MULTIPLIERS[nfu3["multiplier"]],
        paced=bool(nfu3["paced"]),
        engine=bool(nfu3["engine"]),
    )


def markdown() -> str:
    """The text of docs/registers.md."""
    return f"""# Registers of the DianNao core

Generated from `hw/diannao/csr.py`.

The control port is AXI4-Lite with 32 data bits and {ADDRESS_WIDTH} address bits. Registers are
32 bits wide. Bits that are not listed read 0 and ignore writes. An address without a register
answers SLVERR, reads 0 and changes nothing.

To run a program: write PROGRAM_LO, PROGRAM_HI, PROGRAM_SIZE and, if wanted, WATCHDOG and
IRQ_ENABLE; write 1 to CONTROL.start; wait for STATUS.busy to become 0, or for the interrupt. The
interrupt is a level: it is high while a bit of IRQ_STATUS is set that is also set in IRQ_ENABLE.
After an error or a soft reset, `busy` stays 1 until nothing is outstanding on the buses.

Counters have 64 bits and start at 0 with each program. A read of a `_LO` register keeps the upper
half of that counter for the following read of `_HI`. A core without `counters` has only CYCLES, of
{_CYCLES_ALONE} bits, and no TAG.

{register_map(Config(address_width=64)).markdown()}"""


class Csr(wiring.Component):
    """Control and status registers of a core; the map is ``register_map(config)``.

    ``start`` and ``reset`` come in the cycle after they were written; ``start`` only while the core
    is not ``busy``. Of several errors, the first is kept.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    bus : In(AxiLitePort)
    irq : Out(1), level
    start, reset : Out(1), pulses
    program : Out(address_width), byte address
    size : Out(32), bytes
    watchdog : Out(32), cycles, 0 for never
    busy, draining : In(1)
    finished, error : In(1), pulses; with ``error``, ``code`` : In(ErrorCode) and ``pc`` : In(32)
    events : In(Events)
    nbin_bytes, sb_bytes, nbout_bytes, cp_bytes : In, bytes moved in this cycle
    """

    bus: Any
    irq: Signal
    start: Signal
    reset: Signal
    program: Signal
    size: Signal
    watchdog: Signal
    busy: Signal
    draining: Signal
    finished: Signal
    error: Signal
    code: Any
    pc: Signal
    events: Any
    nbin_bytes: Signal
    sb_bytes: Signal
    nbout_bytes: Signal
    cp_bytes: Signal

    def __init__(self, *, config: Config):
        self._config = config
        ports = {
            f"bytes_{name}": getattr(config, f"{name}_port") // 8
            for name in ("nbin", "sb", "nbout", "cp")
        }
        most = {name.lower(): ports.get(name.lower(), 1) for name in _counters(config)}
        self._counters = Counters(most=most) if config.counters else None
        self._cycles = Signal(_CYCLES_ALONE, name="cycles")  # if it is the only one

        def count(port: int):
            return In(range(port // 8 + 1))

        super().__init__(
            {
                "bus": In(AxiLitePort(ADDRESS_WIDTH)),
                "irq": Out(1),
                "start": Out(1),
                "reset": Out(1),
                "program": Out(config.address_width),
                "size": Out(32),
                "watchdog": Out(32),
                "busy": In(1),
                "draining": In(1),
                "finished": In(1),
                "error": In(1),
                "code": In(ErrorCode),
                "pc": In(32),
                "events": In(Events),
                "nbin_bytes": count(config.nbin_port),
                "sb_bytes": count(config.sb_port),
                "nbout_bytes": count(config.nbout_port),
                "cp_bytes": count(config.cp_port),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterBlock(
            registers=register_map(self._config), address_width=ADDRESS_WIDTH
        )
        r: Any = registers
        connect(m, flipped(self.bus), r.bus)

        # Commands and settings.
        m.d.comb += [
            self.start.eq(r.control.start & ~self.busy),
            self.reset.eq(r.control.reset),
            self.program.eq(Cat(r.program_lo.address, getattr(r.program_hi, "address", C(0, 1)))),
            self.size.eq(r.program_size.size),
            self.watchdog.eq(r.watchdog.cycles),
        ]

        # Status and interrupt.
        done, failed = Signal(), Signal()
        code, pc = Signal(ErrorCode), Signal(32)
        with m.If(self.start | self.reset):
            m.d.sync += [done.eq(0), failed.eq(0), code.eq(ErrorCode.NONE), pc.eq(0)]
        with m.Else():
            m.d.sync += done.eq(done | self.finished)
            with m.If(self.error & ~failed):
                m.d.sync += [failed.eq(1), code.eq(self.code), pc.eq(self.pc)]
        m.d.comb += [
            r.status.busy.eq(self.busy),
            r.status.done.eq(done),
            r.status.error.eq(failed),
            r.status.draining.eq(self.draining),
            r.error.code.eq(code),
            r.error_pc.pc.eq(pc),
            r.irq_status.done_set.eq(self.finished),
            r.irq_status.error_set.eq(self.error),
            self.irq.eq(
                (r.irq_status.done & r.irq_enable.done) | (r.irq_status.error & r.irq_enable.error)
            ),
        ]

        if self._counters is None:
            self._count_cycles(m, registers)
        else:
            self._count(m, registers, self._counters)
        return m

    def _count_cycles(self, m: Module, registers: Any):
        """A single counter."""
        cycles = self._cycles
        upper = Signal(_CYCLES_ALONE - 32)
        with m.If(self.start):
            m.d.sync += cycles.eq(0)
        with m.Else():
            m.d.sync += cycles.eq(cycles + self.busy)
        m.d.comb += [
            registers.cycles_lo.count.eq(cycles[:32]),
            registers.cycles_hi.count.eq(upper),
        ]
        with m.If(registers.cycles_lo.being_read):
            m.d.sync += upper.eq(cycles[32:])

    def _count(self, m: Module, r: Any, counters: Counters):
        """All counters. The read of a lower half waits for the counter's turn, and keeps the upper
        one, so that the two belong together."""
        m.submodules.counters = counters
        amounts = {
            "CYCLES": self.busy,
            "NFU_ACTIVE": self.events.active,
            "STALL_NBIN": self.events.stall == Stall.NBIN,
            "STALL_SB": self.events.stall == Stall.SB,
            "STALL_NBOUT": self.events.stall == Stall.NBOUT,
            "STALL_STORE": self.events.stall == Stall.STORE,
            "STALL_INSTRUCTION": self.events.stall == Stall.INSTRUCTION,
            "BYTES_NBIN": self.nbin_bytes,
            "BYTES_SB": self.sb_bytes,
            "BYTES_NBOUT": self.nbout_bytes,
            "BYTES_CP": self.cp_bytes,
        }
        upper = Signal(32)
        m.d.comb += [counters.clear.eq(self.start), r.tag.tag.eq(self.events.tag)]
        for n, name in enumerate(COUNTERS):
            low, high = (getattr(r, f"{name}_{half}".lower()) for half in ("LO", "HI"))
            offset = register_map(self._config)[f"{name}_LO"].offset
            m.d.comb += [
                getattr(counters.amounts, name.lower()).eq(amounts[name]),
                low.count.eq(counters.shown[:32]),
                high.count.eq(upper),
            ]
            with m.If((self.bus.araddr[2:] == offset // 4) & (counters.turn != n)):
                m.d.comb += r.hold.eq(1)
            with m.If(low.being_read):
                m.d.sync += upper.eq(counters.shown[32:])
