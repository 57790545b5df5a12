"""Configuration of a mesh: what the user sets, and what follows from it."""

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise

from ..diannao.config import ConfigError
from .port import OFFSETS, Port

__all__ = ["MeshConfig", "link_interval", "link_latency"]


def link_latency(*, nanoseconds: float | str, megahertz: float | str) -> int:
    """Cycles that a link of so many nanoseconds takes, rounded up."""
    return math.ceil(Fraction(str(nanoseconds)) * Fraction(str(megahertz)) / 1000)


def link_interval(
    *, gigabytes_per_second: float | str, megahertz: float | str, data_width: int
) -> Fraction:
    """Cycles per flit on a link of so many 10^9 bytes per second, exactly and at least 1.

    Only the data of a flit are counted.
    """
    bytes_per_cycle = Fraction(str(gigabytes_per_second)) * 1000 / Fraction(str(megahertz))
    return max(Fraction(1), data_width // 8 / bytes_per_cycle)


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Parameters of a mesh. Defaults are DaDianNao's (sections V.B.3 and VI) at 606 MHz.

    Parameters
    ----------
    rows, columns : nodes of the mesh, 1 to 8 each
    data_width : bits of data in a flit, the width of the path to the central memories
    vcs : virtual channels of each port, a power of two
    local_depth : flits per virtual channel that wait at a router's local input and at a node
    link_depth : flits per virtual channel that wait at the end of a link
    fifo : flits between a router's output and the link
    link_latency : cycles from a link's input to its output
    link_interval : cycles per flit of a link, a fraction from 1 to 1024
    """

    rows: int
    columns: int
    data_width: int = 128
    vcs: int = 8
    local_depth: int = 5
    link_depth: int = 5
    fifo: int = 4
    link_latency: int = 49
    link_interval: Fraction = Fraction(303, 200)

    def __post_init__(self):
        def check(field: str, ok: bool, rule: str):
            if not ok:
                raise ConfigError(f"{field} must be {rule}, not {getattr(self, field)!r}")

        for field in fields(self):
            check(
                field.name,
                type(getattr(self, field.name)) is field.type,
                f"of type {getattr(field.type, '__name__', '')}",
            )
        for field in ("rows", "columns"):
            check(field, 1 <= getattr(self, field) <= 8, "1 to 8")
        check(
            "data_width",
            8 <= self.data_width <= 1024 and self.data_width % 8 == 0,
            "a multiple of 8 from 8 to 1024",
        )
        check("vcs", self.vcs in (1, 2, 4, 8, 16), "a power of two from 1 to 16")
        check("local_depth", 2 <= self.local_depth <= 256, "2 to 256")
        check("link_depth", 2 <= self.link_depth <= 256, "2 to 256")
        check("fifo", 3 <= self.fifo <= 64, "3 to 64 (less cannot carry a flit per cycle)")
        check("link_latency", 1 <= self.link_latency <= 1024, "1 to 1024")
        check(
            "link_interval",
            1 <= self.link_interval <= 1024 and self.link_interval.numerator < 1 << 24,
            "1 to 1024 with a numerator of at most 24 bits",
        )

    @property
    def nodes(self) -> int:
        return self.rows * self.columns

    @property
    def label(self) -> str:
        """All parameters, as a part of module names."""
        interval = self.link_interval
        return (
            f"{self.columns}x{self.rows}_{self.data_width}b_{self.vcs}vc"
            f"_{self.local_depth}_{self.link_depth}_{self.fifo}"
            f"_{self.link_latency}_{interval.numerator}_{interval.denominator}"
        )

    @property
    def links(self) -> list[tuple[int, int, Port]]:
        """Each link as column and row of the node that sends, and the port it leaves by."""
        return [
            (x, y, port)
            for y in range(self.rows)
            for x in range(self.columns)
            for port in OFFSETS
            if self.neighbour(x, y, port) is not None
        ]

    def neighbour(self, x: int, y: int, port: Port) -> tuple[int, int] | None:
        """Column and row of the node behind ``port``, or None at the edge."""
        x, y = x + OFFSETS[port][0], y + OFFSETS[port][1]
        return (x, y) if 0 <= x < self.columns and 0 <= y < self.rows else None

    def number(self, x: int, y: int) -> int:
        """Nodes are counted along the rows."""
        return y * self.columns + x

    def way(self, sender: int, receiver: int) -> list[tuple[int, int]]:
        """Links of a packet, as the numbers of both nodes: along the row first."""
        y, x = divmod(sender, self.columns)
        to_y, to_x = divmod(receiver, self.columns)
        nodes = [sender]
        while (x, y) != (to_x, to_y):
            if x != to_x:
                x += 1 if to_x > x else -1
            else:
                y += 1 if to_y > y else -1
            nodes.append(self.number(x, y))
        return list(pairwise(nodes))

    def depth(self, port: Port) -> int:
        """Flits per virtual channel behind ``port``, which are the credits of its sender."""
        return self.local_depth if port is Port.LOCAL else self.link_depth

    @property
    def round_trip(self) -> int:
        """Cycles after which a place at the end of a link can be used again, at the earliest."""
        return 2 * self.link_latency + 5

    @property
    def full_rate_depth(self) -> int:
        """``link_depth`` with which a single virtual channel uses the link's whole bandwidth."""
        return math.ceil(self.round_trip / self.link_interval)
