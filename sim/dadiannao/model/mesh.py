"""Time of an exchange between nodes: what the busiest link carries, and the longest way."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from hw.dadiannao.config import NodeConfig

__all__ = ["Traffic", "traffic"]

_ROUTER = 4
"""Cycles of a router (RC, VA, SA, ST)."""


@dataclass(frozen=True)
class Traffic:
    """An exchange.

    Parameters
    ----------
    cycles : estimate, all packets sent at the same time
    bytes : by link (sender, receiver; neighbours)
    """

    cycles: int
    bytes: dict[tuple[int, int], int]


def _way(config: NodeConfig, sender: int, receiver: int) -> list[tuple[int, int]]:
    """Links of a packet: along the row first."""
    y, x = divmod(sender, config.columns)
    to_y, to_x = divmod(receiver, config.columns)
    here, links = sender, []
    while (y, x) != (to_y, to_x):
        if x != to_x:
            x += 1 if to_x > x else -1
        else:
            y += 1 if to_y > y else -1
        links.append((here, here := y * config.columns + x))
    return links


def traffic(config: NodeConfig, parcels: Iterable[tuple[int, int, int]]) -> Traffic:
    """The exchange of (sender, receiver, rows of Ti neurons)."""
    loads: Counter[tuple[int, int]] = Counter()
    sent: Counter[int] = Counter()
    longest = 0
    for sender, receiver, rows in parcels:
        way = _way(config, sender, receiver)
        longest = max(longest, len(way))
        sent[sender] += rows
        for link in way:
            loads[link] += rows * config.row_bytes
    if not loads:
        return Traffic(0, {})
    size = config.mesh.data_width // 8
    interval = config.mesh.link_interval
    slowest = ceil(max(loads.values()) / size * interval)
    # A node puts a word per cycle onto its router.
    slowest = max(slowest, max(sent.values()) * config.row_bytes // size)
    return Traffic(slowest + longest * (config.link_latency + _ROUTER) + _ROUTER, dict(loads))
