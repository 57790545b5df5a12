"""A device with a core's ports that does single bursts, to examine the harness's memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi import AxiLitePort, Burst, ReadPort, Response, WritePort
from hw.diannao.events import Events

__all__ = ["REGISTERS", "Probe"]

REGISTERS = ("start", "address", "beats", "bursts", "pattern", "cycles_nbin", "cycles_sb",
             "cycles_nbout", "sum_nbin", "sum_sb", "errors", "tag", "first_beat")  # fmt: skip
"""32-bit registers, in the order of their word addresses."""


class Probe(wiring.Component):
    """Starts ``bursts`` bursts of ``beats`` beats from ``address`` on the ports in ``start``.

    Bit 0 of ``start`` is NBin, bit 1 SB, bit 2 NBout (which writes ``pattern + beat`` into each
    word of 32 bits, all strobes set). The interrupt is high when all are done; ``cycles_*`` count
    from the first offered address to the last beat or response, ``first_beat`` to NBin's first.
    ``sum_*`` add up the lowest 32 bits of the beats, ``errors`` has the last bad response.
    """

    csr: Any
    nbin: Any
    sb: Any
    nbout: Any
    irq: Signal
    events: Any

    def __init__(self, *, widths: tuple[int, int, int]):
        nbin, sb, nbout = widths
        super().__init__(
            {
                "csr": In(AxiLitePort(12)),
                "nbin": Out(ReadPort(32, nbin)),
                "sb": Out(ReadPort(32, sb)),
                "nbout": Out(WritePort(32, nbout)),
                "irq": Out(1),
                "events": Out(Events),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reg = {name: Signal(32, name=name) for name in REGISTERS}
        started = Signal()
        table = Cat(*reg.values())
        csr = self.csr
        index = csr.awaddr[2:]
        m.d.comb += [
            csr.awready.eq(csr.awvalid & csr.wvalid & ~csr.bvalid),
            csr.wready.eq(csr.awready),
            csr.arready.eq(~csr.rvalid),
            self.events.tag.eq(reg["tag"]),
            self.events.active.eq(~self.irq),
        ]
        with m.If(csr.bvalid & csr.bready):
            m.d.sync += csr.bvalid.eq(0)
        with m.If(csr.rvalid & csr.rready):
            m.d.sync += csr.rvalid.eq(0)
        m.d.sync += started.eq(0)
        with m.If(csr.arvalid & csr.arready):
            m.d.sync += [
                csr.rvalid.eq(1),
                csr.rdata.eq(table.word_select(csr.araddr[2:6], 32)),
                csr.rresp.eq(Mux(csr.araddr[2:] < len(REGISTERS), Response.OKAY, Response.SLVERR)),
            ]
        with m.If(csr.awready):
            m.d.sync += [
                table.word_select(index[:4], 32).eq(csr.wdata),
                csr.bvalid.eq(1),
                csr.bresp.eq(Mux(index < len(REGISTERS), Response.OKAY, Response.SLVERR)),
                started.eq(index == 0),
            ]
            with m.If(index == 0):
                m.d.sync += [reg[name].eq(0) for name in REGISTERS if name.startswith("sum")]
                m.d.sync += reg["errors"].eq(0)

        busy = Signal(3)
        m.d.comb += self.irq.eq(~busy.any() & ~started & (reg["start"] != 0))
        for n, (name, port, p) in enumerate(
            (("nbin", self.nbin, "ar"), ("sb", self.sb, "ar"), ("nbout", self.nbout, "aw"))
        ):
            address = {field: getattr(port, p + field) for field in ("addr", "valid", "ready")}
            left = Signal(32, name=f"{name}_left")
            beats = Signal(32, name=f"{name}_beats")
            beat_bytes = (port.rdata if p == "ar" else port.wdata).shape().width // 8
            log2 = (beat_bytes - 1).bit_length()
            m.d.comb += [
                getattr(port, p + "len").eq(reg["beats"] - 1),
                getattr(port, p + "size").eq(min(log2, 7)),
                getattr(port, p + "burst").eq(Burst.INCR),
                address["valid"].eq(left != 0),
            ]
            with m.If(busy[n]):
                m.d.sync += reg[f"cycles_{name}"].eq(reg[f"cycles_{name}"] + 1)
            with m.If(started & reg["start"][n]):
                m.d.sync += [
                    busy[n].eq(1),
                    left.eq(reg["bursts"]),
                    address["addr"].eq(reg["address"]),
                    reg[f"cycles_{name}"].eq(0),
                    beats.eq(reg["beats"] * reg["bursts"] if p == "ar" else reg["bursts"]),
                ]
            with m.Elif(address["valid"] & address["ready"]):
                m.d.sync += [
                    left.eq(left - 1),
                    address["addr"].eq(address["addr"] + reg["beats"] * beat_bytes),
                ]
            if p == "ar":
                m.d.comb += port.rready.eq(1)
                with m.If(port.rvalid):
                    m.d.sync += [
                        beats.eq(beats - 1),
                        reg[f"sum_{name}"].eq(reg[f"sum_{name}"] + port.rdata[:32]),
                        busy[n].eq(beats != 1),
                    ]
                    with m.If(port.rresp != Response.OKAY):
                        m.d.sync += reg["errors"].eq(port.rresp)
                if name == "nbin":
                    with m.If(port.rvalid & (beats == reg["beats"] * reg["bursts"])):
                        m.d.sync += reg["first_beat"].eq(reg["cycles_nbin"] + 1)
            else:
                sent = Signal(32)
                total = Signal(32)
                in_burst = Signal(32)
                m.d.comb += [
                    port.wvalid.eq(sent != total),
                    port.wdata.eq((reg["pattern"] + sent)[:32].replicate(beat_bytes // 4)),
                    port.wstrb.eq(-1),
                    port.wlast.eq(in_burst == reg["beats"] - 1),
                    port.bready.eq(1),
                ]
                with m.If(started & reg["start"][n]):
                    m.d.sync += [
                        sent.eq(0), in_burst.eq(0), total.eq(reg["beats"] * reg["bursts"])
                    ]  # fmt: skip
                with m.Elif(port.wvalid & port.wready):
                    m.d.sync += sent.eq(sent + 1)
                    m.d.sync += in_burst.eq(Mux(port.wlast, 0, in_burst + 1))
                with m.If(port.bvalid):
                    m.d.sync += [beats.eq(beats - 1), busy[n].eq(beats != 1)]
                    with m.If(port.bresp != Response.OKAY):
                        m.d.sync += reg["errors"].eq(port.bresp)
        return m
