"""Pace: holds steps back until their outputs have room, so that nothing behind has to stop."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..nfu.layouts import Op
from .config import Config
from .sequencer import Step

__all__ = ["Pace"]


class Pace(wiring.Component):
    """Lets a step pass when NFU-3 and NBout will take what it sends to them.

    Rows are counted from the step that finishes them until they leave NBout, which holds all that
    are counted. NFU-3 gets steps no faster than it takes them. So the stages between here and NBout
    advance in every cycle, and their registers need no enable.

    Latency 0, throughput one step per cycle.

    Parameters
    ----------
    config : core configuration

    Members
    -------
    i : In, stream of Step
    o : Out, stream of Step, which must be accepted at once
    left : In(1), a row left NBout in the cycle before
    """

    i: stream.Interface
    o: stream.Interface
    left: Signal

    def __init__(self, *, config: Config):
        self._config = config
        steps = stream.Signature(Step(config))
        super().__init__({"i": In(steps), "o": Out(steps), "left": In(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        rows, interval = self._config.nbout_rows, self._config.activation_cycles
        room = Signal(range(rows + 1), init=rows)
        pause = Signal(range(interval))  # cycles until NFU-3 takes another step
        control = self.i.p.control
        finishes, activates, claim, passes = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            finishes.eq(control.last & (control.op != Op.BIAS) & (control.op != Op.TABLE)),
            activates.eq(finishes | (control.op == Op.TABLE)),
            passes.eq(~(finishes & ~room.any()) & ~(activates & pause.any())),
            claim.eq(self.i.valid & finishes & passes),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & passes),
            self.i.ready.eq(passes),
        ]
        m.d.sync += room.eq(room + self.left - claim)
        if interval > 1:
            with m.If(self.o.valid & activates):
                m.d.sync += pause.eq(interval - 1)
            with m.Elif(pause.any()):
                m.d.sync += pause.eq(pause - 1)
        return m
