"""The bridge between a serial line and words of memory and registers."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .protocol import CRC_RESIDUE, Checked, Plain, Status
from .words import WordPort

__all__ = ["Bridge"]

_POLYNOMIAL = 0xEDB88320
_REGISTERS = 29  # the bit of a word address that tells registers from memory


class Bridge(wiring.Component):
    """Executes the commands of ``hw.link.protocol``.

    Bytes are needed at the pace of a serial line only, so the CRC is computed bit by bit: a byte
    takes 10 cycles, a word as long as ``words`` takes to answer.

    Parameters
    ----------
    address_width : bits of a word's address in memory, at least 11; higher bits of an address are
        ignored
    timeout : cycles of silence that end whatever was going on, and after which what comes is taken
        for a command again

    Members
    -------
    i, o : streams of bytes, In and Out
    words : Out(WordPort)
    registers : Out(1), ``words.address`` is that of a register
    plain_writes : In(1), plain commands may write; otherwise they have no effect
    """

    i: stream.Interface
    o: stream.Interface
    words: Any
    registers: Signal
    plain_writes: Signal

    def __init__(self, *, address_width: int, timeout: int):
        if not 11 <= address_width <= _REGISTERS:
            raise ValueError(f"address_width must be 11 to {_REGISTERS}, not {address_width!r}")
        self._timeout = timeout
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8))),
                "o": Out(stream.Signature(unsigned(8))),
                "words": Out(WordPort(address_width)),
                "registers": Out(1),
                "plain_writes": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = self.words
        byte = self.i.payload

        # What was asked for.
        checked, write, fixed = Signal(), Signal(), Signal()
        left = Signal(8)  # words after the present one
        sequence, before = Signal(8), Signal(9, init=1 << 8)  # of this frame; of the last good one
        address = Signal.like(words.address, reset_less=True)
        registers = Signal()
        data = Signal(32, reset_less=True)
        place = Signal(2)  # of a byte in a word
        failed = Signal()  # nothing answered at an address
        late = Signal()  # bytes have been lost
        last_byte = place == 3
        again = Signal()
        m.d.comb += [
            words.address.eq(address),
            words.w_data.eq(data),
            self.registers.eq(registers),
            again.eq(before == sequence),
        ]

        # Checksum: a byte, what is received or sent, is put into the register, whose bits then pass
        # one by one; those of the checksum itself are only moved out of the way.
        crc = Signal(32, init=-1)
        bits = Signal(range(9))
        ready = Signal()
        correct = crc == CRC_RESIDUE
        restarts, enters, leaves = Signal(), Signal(), Signal()
        m.d.comb += ready.eq(bits == 0)
        with m.If(~ready):
            m.d.sync += [
                bits.eq(bits - 1),
                crc.eq((crc >> 1) ^ Mux(crc[0] & ~leaves, _POLYNOMIAL, 0)),
            ]
        with m.If(restarts):
            m.d.sync += crc.eq(-1)
        with m.If(enters):
            checked_byte = Mux(self.o.valid, self.o.payload, byte)
            m.d.sync += [
                bits.eq(8), leaves.eq(0), crc[:8].eq(Mux(restarts, -1, crc[:8]) ^ checked_byte)
            ]  # fmt: skip

        def check():
            m.d.comb += enters.eq(1)

        # Silence.
        silence = Signal(range(self._timeout))
        silent = Signal()
        m.d.comb += silent.eq((silence == self._timeout - 1) & ~self.i.valid)
        with m.If(self.i.valid | silent):
            m.d.sync += silence.eq(0)
        with m.Else():
            m.d.sync += silence.eq(silence + 1)

        taken = Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        with m.FSM(init="DRAIN"):

            def take():
                """Take a byte; true in the cycle in which it comes."""
                m.d.comb += self.i.ready.eq(ready)
                with m.If(silent):
                    m.next = "COMMAND"
                return m.If(taken)

            def send(value):
                """Send a byte; true in the cycle in which it goes."""
                m.d.comb += [
                    self.o.payload.eq(value),
                    self.o.valid.eq(ready),
                    self.i.ready.eq(1),
                ]
                with m.If(self.i.valid & (byte != 0)):
                    m.d.sync += late.eq(1)
                return m.If(self.o.valid & self.o.ready)

            def finish():
                m.d.sync += late.eq(0)
                m.next = "COMMAND"
                with m.If(late):
                    m.next = "DRAIN"

            with m.State("DRAIN"), take():
                pass
            with m.State("COMMAND"):
                with take():
                    check()
                    m.d.comb += restarts.eq(1)
                    m.d.sync += [place.eq(0), failed.eq(0), checked.eq(byte[3])]
                    m.d.sync += fixed.eq((byte == Plain.WRITE_FIXED) | (byte == Plain.READ_FIXED))
                    with m.Switch(byte):
                        with m.Case(Plain.WRITE, Plain.WRITE_FIXED, Checked.WRITE):
                            m.d.sync += write.eq(1)
                            m.next = "LENGTH"
                        with m.Case(Plain.READ, Plain.READ_FIXED, Checked.READ):
                            m.d.sync += write.eq(0)
                            m.next = "LENGTH"
                        with m.Case(0):
                            pass
                        with m.Default():
                            m.next = "DRAIN"
            with m.State("LENGTH"), take():
                check()
                m.next = "ADDRESS"
                m.d.sync += left.eq(byte - 1)
                with m.If(checked):
                    m.d.sync += left.eq(byte[:7])
                    m.next = "SEQUENCE"
                    with m.If(~byte[7]):
                        m.next = "DRAIN"
            with m.State("SEQUENCE"), take():
                check()
                m.d.sync += sequence.eq(byte)
                m.next = "ADDRESS"
            with m.State("ADDRESS"), take():
                check()
                m.d.sync += [address.eq(Cat(byte, address)), place.eq(place + 1)]
                with m.If(place == 0):
                    m.d.sync += registers.eq(byte[_REGISTERS % 8])
                with m.If(last_byte):
                    m.next = "DATA"
                    with m.If(checked):
                        m.next = "HEADER_CRC"
                    with m.Elif(~write):
                        m.next = "READ"
            with m.State("HEADER_CRC"), take():
                check()
                m.d.sync += place.eq(place + 1)
                with m.If(last_byte):
                    m.next = "HEADER_CHECK"
            with m.State("HEADER_CHECK"), m.If(ready):
                m.d.comb += restarts.eq(1)
                m.next = "DRAIN"
                with m.If(correct):
                    m.next = "TERMINATOR"
                    with m.If(write):
                        m.next = "DATA"
            with m.State("DATA"), take():
                check()
                m.d.sync += [data.eq(Cat(byte, data)), place.eq(place + 1)]
                with m.If(last_byte):
                    m.next = "WRITE"
                    with m.If(checked & (left == 0)):
                        m.next = "DATA_CRC"
            with m.State("DATA_CRC"), take():
                check()
                m.d.sync += place.eq(place + 1)
                with m.If(last_byte):
                    m.next = "DATA_CHECK"
            with m.State("DATA_CHECK"), m.If(ready):
                m.next = "DRAIN"
                with m.If(correct):
                    m.next = "TERMINATOR"
            with m.State("TERMINATOR"), take():
                m.next = "DRAIN"
                with m.If(byte == 0):
                    m.d.comb += restarts.eq(1)
                    m.next = "ANSWER"
                    with m.If(write & ~again):
                        m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [
                    words.write.eq(1),
                    words.valid.eq(checked | self.plain_writes),
                ]
                with m.If(words.ready | ~words.valid):
                    m.d.sync += [
                        address.eq(address + ~fixed),
                        left.eq(left - 1),
                        failed.eq(failed | (words.valid & words.error)),
                    ]
                    m.next = "DATA"
                    with m.If(left == 0):
                        m.next = "COMMAND"
                        with m.If(checked):
                            m.next = "ANSWER"
            with m.State("ANSWER"), send(sequence):
                check()
                m.next = "READ"
                with m.If(write):
                    m.next = "STATUS"
            with m.State("READ"):
                m.d.comb += words.valid.eq(1)
                with m.If(words.ready):
                    m.d.sync += [
                        data.eq(words.r_data),
                        address.eq(address + ~fixed),
                        failed.eq(failed | words.error),
                    ]
                    m.next = "SEND"
            with m.State("SEND"), send(data[24:]):
                check()
                m.d.sync += [data.eq(data << 8), place.eq(place + 1)]
                with m.If(last_byte):
                    m.d.sync += left.eq(left - 1)
                    m.next = "READ"
                    with m.If(left == 0):
                        m.next = "STATUS"
                        with m.If(~checked):
                            finish()
            status = Mux(failed, Status.ERROR, Status.OKAY)
            with m.State("STATUS"), send(status):
                check()
                with m.If(~failed):
                    m.d.sync += before.eq(sequence)
                m.next = "SEND_CRC"
            with m.State("SEND_CRC"), send(~crc[:8]):
                m.d.sync += [place.eq(place + 1), bits.eq(8), leaves.eq(1)]
                with m.If(last_byte):
                    finish()
        return m
