"""A bank of eDRAM: dense memory that forgets (paper, section V.A)."""

from pathlib import Path

from amaranth.hdl import ClockSignal, Instance, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.pipeline import delay
from ..memory.ram import Ram

__all__ = ["MACRO", "MODEL", "Edram", "EdramRequest"]

MACRO = "diannao_edram"
"""Name of the black box."""

MODEL = Path(__file__).parent / "models" / "diannao_edram.v"
"""Its simulation model, which a build of a design with macros needs."""


class EdramRequest(data.StructLayout):
    """An access: ``data`` is written into ``row`` if ``write``, else the row is read."""

    def __init__(self, *, rows: int, width: int):
        super().__init__({"row": range(rows), "data": unsigned(width), "write": unsigned(1)})


class Edram(wiring.Component):
    """One bank, with the control that its technology asks for.

    Reading destroys a row: in the ``restore`` cycles after a read the bank writes it back. Charge
    leaks: once in ``refresh_interval`` cycles a row is refreshed, which takes a cycle; the bank has
    a counter for whose turn it is. A refresh is done early when nobody wants the bank, and holds up
    requests only when it is due. Requests wait at ``request`` meanwhile.

    The memory inside is what ``memory`` says: "ram", one of Amaranth's, which has the same timing
    but neither forgets nor loses anything; or "macro", the black box MACRO. Its ports: ``read`` or
    ``write`` of ``row``; ``restore`` of the row read last, in the cycles that follow its read;
    ``refresh`` of the row whose turn it is. Megabits are too much for Amaranth and Yosys, and in
    silicon they are a compiled macro as well.

    Timing: ``data`` shows the row of a read ``latency`` cycles after it was accepted, and keeps it
    until that of the next one; a read after a write of the same row sees it. Contents are not
    reset. Reset restores the row that was being read and is followed by a refresh, so rows outlive
    a reset of one cycle.

    Parameters
    ----------
    rows : rows, at least 2
    width : bits of a row
    latency : cycles from a row's address to its content, at least 1
    restore : cycles in which a row that was read is written back; 0 if reading does no harm
    refresh_interval : longest time from one refresh to the next, in cycles; 0 if none is needed
    memory : "ram" or "macro"

    Members
    -------
    request : In(stream(EdramRequest))
    data : Out(width)
    busy : Out(1), a row is being written back
    """

    request: stream.Interface
    data: Signal
    busy: Signal

    def __init__(
        self, *, rows: int, width: int, latency: int, restore: int, refresh_interval: int,
        memory: str,
    ):  # fmt: skip
        if memory not in ("ram", "macro"):
            raise ValueError(f'memory must be "ram" or "macro", not {memory!r}')
        if rows < 2 or latency < 1 or restore < 0:
            raise ValueError(
                f"rows, latency and restore must be at least 2, 1 and 0, not {rows!r}, "
                f"{latency!r} and {restore!r}"
            )
        if refresh_interval and refresh_interval < 2 * restore + 4:
            raise ValueError(
                f"refresh_interval must be 0, or at least 2 * restore + 4 ({2 * restore + 4}), "
                f"not {refresh_interval!r}"
            )
        self._rows, self._width, self._latency = rows, width, latency
        self._restore, self._refresh_interval = restore, refresh_interval
        self._memory = memory
        super().__init__(
            {
                "request": In(stream.Signature(EdramRequest(rows=rows, width=width))),
                "data": Out(unsigned(width)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        request = self.request
        read, write, refresh = Signal(), Signal(), Signal()
        blocked = self._refresh(m, refresh)
        m.d.comb += [
            request.ready.eq(~self.busy & ~blocked),
            read.eq(request.valid & request.ready & ~request.payload.write),
            write.eq(request.valid & request.ready & request.payload.write),
        ]
        if self._restore:
            left = Signal(range(self._restore + 1), init=self._restore)
            m.d.comb += self.busy.eq(left != 0)
            with m.If(read):
                m.d.sync += left.eq(self._restore)
            with m.Elif(self.busy):
                m.d.sync += left.eq(left - 1)

        if self._memory == "macro":
            m.submodules.macro = Instance(
                MACRO,
                p_ROWS=self._rows, p_WIDTH=self._width, p_LATENCY=self._latency,
                p_RESTORE=self._restore, p_REFRESH_INTERVAL=self._refresh_interval,
                i_clk=ClockSignal(), i_row=request.payload.row, i_read=read, i_write=write,
                i_restore=self.busy, i_refresh=refresh, i_data_in=request.payload.data,
                o_data_out=self.data,
            )  # fmt: skip
        else:
            m.submodules.ram = ram = Ram(shape=unsigned(self._width), depth=self._rows)
            m.d.comb += [
                ram.write_row.eq(request.payload.row),
                ram.write.eq(write),
                ram.write_data.eq(request.payload.data),
                ram.read_row.eq(request.payload.row),
                ram.read.eq(read),
                self.data.eq(
                    delay(m, ram.read_data, self._latency - 1, enable=1, name="read_data")
                ),
            ]
        return m

    def _refresh(self, m: Module, refresh: Signal) -> Signal:
        """Drive ``refresh``; returns whether requests have to wait for one."""
        due = Signal()
        if not self._refresh_interval:
            return due
        # A row that is being written back, and is once more after a reset, must not make it late.
        latest = self._refresh_interval - 2 - 2 * self._restore
        age = Signal(range(self._refresh_interval), init=latest)  # whole cycles since the last one
        early = age >= self._refresh_interval // 2
        m.d.comb += [
            due.eq(age >= latest),
            refresh.eq(~self.busy & (due | (early & ~self.request.valid))),
        ]
        m.d.sync += age.eq(age + 1)
        with m.If(refresh):
            m.d.sync += age.eq(0)
        return due
