"""What an SDRAM chip needs: its geometry, and its timing in nanoseconds and in cycles."""

import math
from dataclasses import dataclass

from hw.errors import UserError

__all__ = ["SDR_32MB", "SdramChip", "SdramTiming"]


@dataclass(frozen=True, kw_only=True)
class SdramTiming:
    """Least distances in cycles of one clock, from command to command.

    Parameters
    ----------
    cas : from a read to its first word
    rcd : from the activation of a row to an access
    rp : from a precharge to an activation
    ras : from an activation to a precharge of the same bank; long enough for tRC, too
    rrd : from an activation to one of another bank
    wr : from the last word written to a precharge
    rfc : from a refresh to anything
    mrd : from a mode setting to anything
    refresh : from a refresh to the next one (at most)
    power_up : from power on to the first command
    """

    cas: int
    rcd: int
    rp: int
    ras: int
    rrd: int
    wr: int
    rfc: int
    mrd: int
    refresh: int
    power_up: int


@dataclass(frozen=True, kw_only=True)
class SdramChip:
    """A single-data-rate SDRAM with 16 data bits and four banks; times are in nanoseconds.

    Parameters
    ----------
    row_bits, column_bits : of an address; a column, of which there are at most 1024, is a word
    cas : shortest clock period for each CAS latency
    rcd, rp, ras, rc, rrd, wr, rfc : as in data sheets, without their "t"
    mrd : in cycles
    refresh : time in which all rows have to be refreshed, once each
    power_up : from power on to the first command
    """

    row_bits: int
    column_bits: int
    cas: tuple[tuple[int, float], ...]
    rcd: float
    rp: float
    ras: float
    rc: float
    rrd: float
    wr: float
    rfc: float
    mrd: int
    refresh: float
    power_up: float

    BANK_BITS = 2
    WIDTH = 16

    @property
    def size(self) -> int:
        """Bytes."""
        return self.WIDTH // 8 << self.BANK_BITS + self.row_bits + self.column_bits

    @property
    def address_bits(self) -> int:
        """Address pins; number 10 makes a precharge one of all banks."""
        return max(self.row_bits, 11)

    @property
    def refresh_interval(self) -> float:
        """Nanoseconds from one refresh of a row to that of the next one."""
        return self.refresh / (1 << self.row_bits)

    def timing(self, clock: int) -> SdramTiming:
        """In cycles of a ``clock`` in Hz.

        Raises
        ------
        UserError
            If the clock is too fast for the chip.
        """
        period = 1e9 / clock
        latencies = [latency for latency, shortest in self.cas if period >= shortest - 1e-6]
        if not latencies:
            fastest = 1e3 / min(shortest for _, shortest in self.cas)
            raise UserError(
                f"the SDRAM's clock must be at most {fastest:.0f} MHz, not {clock / 1e6:g} MHz"
            )

        def cycles(time: float) -> int:
            return math.ceil(time / period - 1e-6)

        rcd, rp = cycles(self.rcd), cycles(self.rp)
        return SdramTiming(
            cas=min(latencies), rcd=max(2, rcd), rp=rp, wr=cycles(self.wr), rfc=cycles(self.rfc),
            # A bank is activated again no earlier than rp after its precharge.
            ras=max(cycles(self.ras), cycles(self.rc) - rp),
            rrd=cycles(self.rrd), mrd=self.mrd, power_up=cycles(self.power_up),
            refresh=math.floor(self.refresh_interval / period),
        )  # fmt: skip


SDR_32MB = SdramChip(
    row_bits=13, column_bits=9, cas=((2, 10.0), (3, 7.0)),
    rcd=21, rp=21, ras=45, rc=68, rrd=15, wr=15, rfc=68, mrd=2, refresh=64e6, power_up=200e3,
)  # fmt: skip
"""32 MB as on the ULX3S: the slowest value of each in the data sheets of MT48LC16M16A2-75,
AS4C16M16SA-7, IS42S16160G-7 and W9825G6KH-6. Of chips with more columns, half is used."""
