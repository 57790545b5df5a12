"""From bursts in a row to the commands of an SDRAM."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .sdram_chip import SdramChip, SdramTiming
from .sdram_data import ReadBeat, ReadPath, WriteBeat, WritePath

__all__ = ["Command", "Request", "SdramController", "SdramPins"]

_ALL_BANKS = 1 << 10
"""Address bit that makes a precharge one of all banks; low in an access."""


class Command(enum.Enum, shape=3):
    """The pins RAS, CAS and WE, highest bit first; 1 is active."""

    NOTHING = 0b000
    ACTIVATE = 0b100
    READ = 0b010
    WRITE = 0b011
    PRECHARGE = 0b101
    REFRESH = 0b110
    MODE = 0b111


class SdramPins(wiring.Signature):
    """An SDRAM's pins, seen from the controller.

    There is a register between each of these and its pin. The chip's clock is late against that of
    the controller, so that ``dq_i`` shows a word ``cas + 2`` cycles after its read was in
    ``command``; see ``boards.sdram_pins``.

    command : Out(Command)
    ba : Out(2), bank
    a : Out(address bits), row or column
    dqm : Out(2), bytes that are not written
    dq_o : Out(16), dq_oe : Out(1), dq_i : In(16)
    """

    def __init__(self, chip: SdramChip):
        super().__init__(
            {
                "command": Out(Command),
                "ba": Out(chip.BANK_BITS),
                "a": Out(chip.address_bits),
                "dqm": Out(chip.WIDTH // 8),
                "dq_o": Out(chip.WIDTH),
                "dq_oe": Out(1),
                "dq_i": In(chip.WIDTH),
            }
        )


class Request(data.StructLayout):
    """Reads or writes of successive beats of one row.

    write : 1 for writes
    column : of the first beat, in beats
    bank, row
    length : beats less 1
    tag : goes with each beat that is read
    last : goes with the last of them
    """

    def __init__(self, chip: SdramChip, beat: int, tag: int):
        super().__init__(
            {
                "write": unsigned(1),
                "column": unsigned(chip.column_bits - (beat // chip.WIDTH).bit_length() + 1),
                "bank": unsigned(chip.BANK_BITS),
                "row": unsigned(chip.row_bits),
                "length": unsigned(8),
                "tag": unsigned(tag),
                "last": unsigned(1),
            }
        )


class SdramController(wiring.Component):
    """Executes requests in their order, at the full rate of the chip's data pins.

    ::

        i -> prepare: open the row -> access: a read or write for each beat
             or refresh all             w -> words -> dq -> words -> beats -> r

    A beat is one burst of the chip, so that a request leaves every other command (or more) for the
    preparation of the next one. Rows stay open until another row of their bank is wanted, or all
    are refreshed. A refresh does not wait for the end of a request: ``access`` pauses, and goes on
    when its row is open again. So nobody keeps the chip from being refreshed by not taking ``r`` or
    not giving ``w``.

    A beat is read ``cas`` + its words + 7 cycles after its request came, if its row is open.

    Parameters
    ----------
    chip : geometry
    timing : of the chip with the clock of ``sync``
    beat : bits, 32, 64 or 128
    tag : bits

    Members
    -------
    i : In(stream(Request))
    w : In(stream(WriteBeat)), what the write requests write
    r : Out(stream(ReadBeat)), what the read requests read
    pins : Out(SdramPins)
    """

    i: stream.Interface
    w: stream.Interface
    r: stream.Interface
    pins: Any

    FIRST_REFRESHES = 8
    """Data sheets want two or eight of them before the first access."""

    def __init__(self, *, chip: SdramChip, timing: SdramTiming, beat: int, tag: int):
        if beat not in (32, 64, 128):
            raise ValueError(f"beat must be 32, 64 or 128 bits, not {beat!r}")
        if timing.rrd > timing.rcd + 1:
            raise ValueError(f"rrd must be at most rcd + 1, not {timing.rrd!r}")
        self._chip = chip
        self._timing = timing
        self._beat = beat
        self._tag = tag
        super().__init__(
            {
                "i": In(stream.Signature(Request(chip, beat, tag))),
                "w": In(stream.Signature(WriteBeat(beat))),
                "r": Out(stream.Signature(ReadBeat(beat, tag))),
                "pins": Out(SdramPins(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pins, timing = self.pins, self._timing
        words = self._beat // self._chip.WIDTH
        banks = range(1 << self._chip.BANK_BITS)
        request = self.i.payload.shape()

        m.submodules.write_path = write_path = WritePath(beat=self._beat)
        # Its register and that of the command are one.
        m.submodules.read_path = read_path = ReadPath(
            beat=self._beat, tag=self._tag, latency=timing.cas + 3
        )
        connect(m, read_path.o, flipped(self.r))
        m.d.comb += [
            write_path.beat.eq(self.w.payload),
            pins.dq_o.eq(write_path.dq_o),
            pins.dq_oe.eq(write_path.dq_oe),
            pins.dqm.eq(write_path.dqm),
            read_path.dq_i.eq(pins.dq_i),
        ]
        m.d.sync += pins.command.eq(Command.NOTHING)

        # Banks: the row that is open, and how long it has to stay so. An access needs at least
        # what is left since the activation, and as long as a write has to.
        opened = Signal(len(banks))
        rows = Array(Signal(self._chip.row_bits, name=f"row_{n}") for n in banks)
        recovery = max(words - 1 + timing.wr, timing.ras - timing.rcd)
        timers = Array(Signal(range(max(recovery, timing.ras)), name=f"timer_{n}") for n in banks)
        settled = Signal(len(banks))
        for n in banks:
            m.d.comb += settled[n].eq(timers[n] == 0)
            with m.If(~settled[n]):
                m.d.sync += timers[n].eq(timers[n] - 1)

        # Access: while a request is active, a command as often as its words need.
        access: Any = Signal(request)
        active = Signal()
        hold = Signal(init=1)
        spacing = Signal(range(words))
        rested, begins = Signal(), Signal()  # active, and nothing to wait for; will become active
        turn, issue, last, accept = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            turn.eq(rested & ~hold),
            self.w.ready.eq(turn & access.write & read_path.quiet),
            write_path.start.eq(self.w.ready & self.w.valid),
            read_path.start.eq(turn & ~access.write & read_path.room),
            issue.eq(write_path.start | read_path.start),
            last.eq(access.length == 0),
            read_path.last.eq(access.last & last),
            read_path.tag.eq(access.tag),
            accept.eq(~active | (issue & last)),
        ]
        with m.If(spacing != 0):
            m.d.sync += spacing.eq(spacing - 1)
        # A beat has two words or more, so that none is issued in the cycle after another.
        m.d.sync += rested.eq((active | begins) & (spacing <= 1) & ~issue)
        with m.If(issue):
            m.d.sync += [
                pins.command.eq(Mux(access.write, Command.WRITE, Command.READ)),
                timers[access.bank].eq(recovery - 1),
                spacing.eq(words - 1),
                access.column.eq(access.column + 1),
                access.length.eq(access.length - 1),
                active.eq(~last),
            ]

        # The clock that says when to refresh.
        countdown = Signal(range(timing.refresh), init=timing.refresh - 1)
        over, tick, due = Signal(), Signal(), Signal()
        m.d.comb += over.eq(countdown == 0)
        m.d.sync += [
            countdown.eq(Mux(over, timing.refresh - 1, countdown - 1)),
            tick.eq(over),
        ]

        # Preparation: one command after the other, each when the one before allows it.
        prepared: Any = Signal(request)
        waiting = Signal()  # there is something to prepare
        pause = Signal(range(timing.rfc))
        free = Signal()
        m.d.comb += free.eq((pause == 0) & ~issue)
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)

        def command(which: Command, distance: int):
            m.d.sync += [pins.command.eq(which), pause.eq(distance - 1)]

        def activate(bank, row):
            # Whoever accesses the row comes a cycle later.
            command(Command.ACTIVATE, timing.rcd - 1)
            m.d.sync += [
                opened.bit_select(bank, 1).eq(1),
                rows[bank].eq(row),
                timers[bank].eq(timing.ras - 1),
            ]

        def take():
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [prepared.eq(self.i.payload), waiting.eq(self.i.valid)]
            m.next = "IDLE"
            with m.If(self.i.valid):
                m.next = "LOOK"

        def refresh():
            m.d.sync += hold.eq(1)
            m.next = "CLOSE"

        remaining = Signal(range(self.FIRST_REFRESHES), init=self.FIRST_REFRESHES - 1)
        ready = Signal()  # the mode has been set
        ticks = Signal(range(-(-timing.power_up // timing.refresh) + 1))
        with m.FSM(init="POWER_UP") as fsm:
            with m.State("POWER_UP"), m.If(tick):
                m.d.sync += ticks.eq(ticks + 1)
                with m.If(ticks == -(-timing.power_up // timing.refresh)):
                    m.next = "CLOSE"
            with m.State("CLOSE"), m.If(settled.all() & free):
                command(Command.PRECHARGE, timing.rp)
                m.d.sync += opened.eq(0)
                m.next = "REFRESH"
            with m.State("REFRESH"), m.If(free):
                command(Command.REFRESH, timing.rfc)
                m.d.sync += [due.eq(0), remaining.eq(remaining - 1)]
                with m.If(ready):
                    m.next = "REOPEN"
                with m.Elif(remaining == 0):
                    m.next = "MODE"
            with m.State("MODE"), m.If(free):
                command(Command.MODE, timing.mrd)
                m.d.sync += ready.eq(1)
                m.next = "REOPEN"
            with m.State("REOPEN"), m.If(free):
                with m.If(active):
                    activate(access.bank, rows[access.bank])
                m.next = "RESUME"
            with m.State("RESUME"), m.If(free):
                m.d.sync += hold.eq(0)
                m.next = "IDLE"
                with m.If(waiting):
                    m.next = "LOOK"
            with m.State("IDLE"):
                with m.If(due):
                    refresh()
                with m.Else():
                    take()
            with m.State("LOOK"):
                m.next = "ACTIVATE"
                with m.If(opened.bit_select(prepared.bank, 1)):
                    m.next = "PRECHARGE"
                    with m.If(rows[prepared.bank] == prepared.row):
                        m.next = "READY"
            with m.State("PRECHARGE"):
                in_use = active & (access.bank == prepared.bank)
                with m.If(due):
                    refresh()
                with m.Elif(~in_use & settled.bit_select(prepared.bank, 1) & free):
                    command(Command.PRECHARGE, timing.rp)
                    m.d.sync += opened.bit_select(prepared.bank, 1).eq(0)
                    m.next = "ACTIVATE"
            with m.State("ACTIVATE"), m.If(free):
                activate(prepared.bank, prepared.row)
                m.next = "READY"
            with m.State("READY"), m.If(pause == 0):
                with m.If(due):
                    refresh()
                with m.Elif(accept):
                    m.d.comb += begins.eq(1)
                    m.d.sync += [access.eq(prepared), active.eq(1)]
                    take()
        with m.If(tick):
            m.d.sync += due.eq(1)

        # What is addressed matters only with a command, so it does not wait for whether there is
        # one.
        with m.If(issue):
            m.d.sync += [
                pins.ba.eq(access.bank), pins.a.eq(access.column << (words - 1).bit_length())
            ]  # fmt: skip
        with m.Elif(fsm.ongoing("CLOSE")):
            m.d.sync += pins.a.eq(_ALL_BANKS)
        with m.Elif(fsm.ongoing("MODE")):
            m.d.sync += [pins.ba.eq(0), pins.a.eq(timing.cas << 4 | words.bit_length() - 1)]
        with m.Elif(fsm.ongoing("REOPEN")):
            m.d.sync += [pins.ba.eq(access.bank), pins.a.eq(rows[access.bank])]
        with m.Else():
            m.d.sync += [
                pins.ba.eq(prepared.bank),
                pins.a.eq(Mux(fsm.ongoing("PRECHARGE"), 0, prepared.row)),
            ]
        return m
