"""Switch allocation: which flits pass the crossbar."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import MeshConfig
from .port import PORTS
from .round_robin import RoundRobin

__all__ = ["SwitchAllocator"]


class SwitchAllocator(wiring.Component):
    """Separable, input first: each input picks a virtual channel, each output an input.

    Both pick round robin, and an input's turn passes on only when its flit got the output.

    Parameters
    ----------
    config : of the mesh

    Members
    -------
    ready : In(ArrayLayout(vcs bits, PORTS)), by input: flits that may use the switch
    outputs : In(ArrayLayout(ArrayLayout(PORTS bits, vcs), PORTS)), one-hot, where they go
    credits : In(ArrayLayout(vcs bits, PORTS)), by output: virtual channels that take a flit
    reads : Out(ArrayLayout(vcs bits, PORTS)), by input: the flit that goes, one-hot or 0
    grants : Out(ArrayLayout(PORTS bits, PORTS)), by output: the input it comes from, one-hot or 0
    """

    ready: Any
    outputs: Any
    credits: Any
    reads: Any
    grants: Any

    def __init__(self, *, config: MeshConfig):
        self._vcs = config.vcs
        per_vc = data.ArrayLayout(self._vcs, PORTS)
        super().__init__(
            {
                "ready": In(per_vc),
                "outputs": In(data.ArrayLayout(data.ArrayLayout(PORTS, self._vcs), PORTS)),
                "credits": In(per_vc),
                "reads": Out(per_vc),
                "grants": Out(data.ArrayLayout(PORTS, PORTS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        wanted = [Signal(PORTS, name=f"wanted_{i}") for i in range(PORTS)]
        for i in range(PORTS):
            arbiter = RoundRobin(self._vcs)
            m.submodules[f"input_{i}"] = arbiter
            for vc in range(self._vcs):
                taken = Cat(self.credits[output][vc] for output in range(PORTS))
                goes = (self.outputs[i][vc] & taken).any()
                m.d.comb += arbiter.requests[vc].eq(self.ready[i][vc] & goes)
                with m.If(arbiter.grant[vc]):
                    m.d.comb += wanted[i].eq(self.outputs[i][vc])
            won = Cat(self.grants[output][i] for output in range(PORTS)).any()
            m.d.comb += [
                arbiter.served.eq(won),
                self.reads[i].eq(Mux(won, arbiter.grant, 0)),
            ]
        for output in range(PORTS):
            arbiter = RoundRobin(PORTS)
            m.submodules[f"output_{output}"] = arbiter
            m.d.comb += [
                arbiter.requests.eq(Cat(want[output] for want in wanted)),
                arbiter.served.eq(1),
                self.grants[output].eq(arbiter.grant),
            ]
        return m
