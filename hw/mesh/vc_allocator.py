"""Virtual-channel allocation: which packet has a virtual channel of an output."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import MeshConfig
from .port import PORTS
from .round_robin import RoundRobin

__all__ = ["VcAllocator"]


class VcAllocator(wiring.Component):
    """Gives each virtual channel of each output to one packet at a time, round robin over inputs.

    A packet keeps the number of its virtual channel, so it asks for exactly one, and one arbiter
    for each is the whole allocation.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    opening : In(ArrayLayout(vcs bits, PORTS)), requests of the packets in front, by input
    outputs : In(ArrayLayout(ArrayLayout(PORTS bits, vcs), PORTS)), the outputs that they need
    opened : Out(ArrayLayout(vcs bits, PORTS)), granted in the same cycle
    closing : In(ArrayLayout(vcs bits, PORTS)), by output: the tail is on its way, so that others
        can have the virtual channel from the next cycle
    """

    opening: Any
    outputs: Any
    opened: Any
    closing: Any

    def __init__(self, *, config: MeshConfig):
        self._vcs = config.vcs
        per_vc = data.ArrayLayout(self._vcs, PORTS)
        super().__init__(
            {
                "opening": In(per_vc),
                "outputs": In(data.ArrayLayout(data.ArrayLayout(PORTS, self._vcs), PORTS)),
                "opened": Out(per_vc),
                "closing": In(per_vc),
            }
        )
        # Read by the proof, too.
        self._taken = [Signal(self._vcs, name=f"taken_{output}") for output in range(PORTS)]

    def elaborate(self, platform):
        m = Module()
        grants = [
            [Signal(PORTS, name=f"grant_{o}_{v}") for v in range(self._vcs)] for o in range(PORTS)
        ]
        for output, taken in enumerate(self._taken):
            for vc in range(self._vcs):
                arbiter = RoundRobin(PORTS)
                m.submodules[f"arbiter_{output}_{vc}"] = arbiter
                m.d.comb += [
                    arbiter.requests.eq(
                        Cat(
                            self.opening[i][vc] & self.outputs[i][vc][output] & ~taken[vc]
                            for i in range(PORTS)
                        )
                    ),
                    arbiter.served.eq(1),
                    grants[output][vc].eq(arbiter.grant),
                ]
                with m.If(self.closing[output][vc]):
                    m.d.sync += taken[vc].eq(0)
                with m.If(arbiter.grant.any()):
                    m.d.sync += taken[vc].eq(1)
        for i in range(PORTS):
            for vc in range(self._vcs):
                m.d.comb += self.opened[i][vc].eq(
                    Cat(grants[output][vc][i] for output in range(PORTS)).any()
                )
        return m
