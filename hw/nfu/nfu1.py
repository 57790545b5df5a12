"""NFU-1: the multipliers."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.aggregate import JoinableProducts
from ..arith.multiplier import Multiplier
from ..arith.pipeline import delay
from .layouts import Control, Held, Op, Operands, Products, lanes, row_bits, synapses

__all__ = ["Nfu1"]


class Nfu1(wiring.Component):
    """NFU-1 (paper section 5.2): Tn x Ti multipliers, each neuron against Tn synapses.

    If the control has ``updated_rows``, a register holds the neurons of the last step with
    ``hold``, which goes no further; see Held. Then ``tn`` and ``ti`` are equal.

    Pooled neurons (MAX, SUM) and parameter words (BIAS, TABLE) go around the multipliers. The
    pipeline advances when the last register is empty or accepted; it takes one step per cycle and
    gives it out ``stages`` advances later. From two stages on, the first register holds the
    operands, the others are the multipliers'.

    Parameters
    ----------
    tn, ti : outputs and inputs per step
    width, drop, multiplier : number format and style of the multipliers
    control : layout of the steps' control; with its ``aggregate``, operators join, ``tn`` and
        ``ti`` are even and ``drop`` is 0
    stages : pipeline registers, 1 or more

    Members
    -------
    i : In(stream of Operands)
    o : Out(stream of Products)
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self, *, tn: int, ti: int, width: int, drop: int, multiplier: str, control: Control,
        stages: int,
    ):  # fmt: skip
        if stages < 1:
            raise ValueError(f"stages must be 1 or more, not {stages!r}")
        self.tn = tn
        self.ti = ti
        self.width = width
        self.drop = drop
        self.multiplier = multiplier
        self.stages = stages
        super().__init__(
            {
                "i": In(
                    stream.Signature(Operands(control, lanes(width, ti), row_bits(width, tn, ti)))
                ),
                "o": Out(stream.Signature(Products(control, width, tn, ti))),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        return self.stages

    def elaborate(self, platform):
        m = Module()
        tn, ti, width = self.tn, self.ti, self.width
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def registered(value, stages: int, name: str, **options):
            return delay(m, value, stages, enable=advance, name=name, **options)

        for_operands = min(self.stages - 1, 1)
        for_products = self.stages - for_operands
        operands = registered(self.i.payload, for_operands, "operands")
        valid = registered(self.i.valid, for_operands, "coming", reset_less=False)
        control, neurons = operands.control, operands.neurons

        weights = data.View(synapses(width, tn, ti), operands.row[: tn * ti * width])
        if control.shape().updated_rows:
            weights = self._chosen(m, operands, weights, advance & valid)
            m.d.comb += self.o.payload.row.eq(registered(operands.row, for_products, "row"))
            valid &= ~control.hold
        m.d.comb += self.o.valid.eq(registered(valid, for_products, "valid", reset_less=False))
        multiply = self._joinable_multipliers if control.shape().aggregate else self._multipliers
        multiply(m, operands, weights, for_products, advance)

        # What goes around is cleared in other steps, which is a reset of registers.
        loads = (control.op == Op.BIAS) | (control.op == Op.TABLE)
        pools = (control.op == Op.MAX) | (control.op == Op.SUM)
        parameters = Mux(loads, operands.row[: 2 * tn * width], 0)
        pooled = Mux(pools, neurons.as_value()[: min(tn, ti) * width], 0)
        m.d.comb += [
            self.o.payload.parameters.eq(registered(parameters, for_products, "parameters")),
            self.o.payload.neurons.eq(registered(pooled, for_products, "neurons")),
            self.o.payload.control.eq(registered(control, for_products, "control")),
        ]
        return m

    def _chosen(self, m: Module, operands, weights, takes: Value):
        """``weights``, or what is held in their places."""
        control = operands.control
        held = Signal(lanes(self.width, self.ti), reset_less=True)
        with m.If(takes & control.hold):
            m.d.sync += held.eq(operands.neurons)
        chosen = Signal(weights.shape())
        m.d.comb += chosen.eq(weights)
        with m.If((control.op == Op.MAC) & (control.held != Held.SB)):
            for n in range(self.tn):
                for i in range(self.ti):
                    # Joined, a pair of lanes is one number.
                    apart, joined = held[n], held[n // 2 * 2 + i % 2]
                    if n != i:
                        apart = Mux(control.held == Held.ALL, apart, 0)
                    if n // 2 != i // 2:
                        joined = Mux(control.held == Held.ALL, joined, 0)
                    m.d.comb += chosen[n][i].eq(Mux(control.joined, joined, apart))
        return chosen

    def _multipliers(self, m: Module, operands, weights, stages: int, advance: Signal):
        """Each neuron meets Tn synapses, several of them in one multiplier."""
        group = Multiplier.lanes_per_word(self.width)
        for i in range(self.ti):
            for first in range(0, self.tn, group):
                outputs = range(first, min(first + group, self.tn))
                multiplier = Multiplier(
                    width=self.width, drop=self.drop, style=self.multiplier, stages=stages,
                    lanes=len(outputs),
                )  # fmt: skip
                m.submodules[f"multiplier_{first}_{i}"] = multiplier
                m.d.comb += [multiplier.enable.eq(advance), multiplier.x.eq(operands.neurons[i])]
                for lane, n in enumerate(outputs):
                    m.d.comb += [
                        multiplier.w[lane].eq(weights[n][i]),
                        self.o.payload.products[n][i].eq(multiplier.o[lane]),
                    ]

    def _joinable_multipliers(self, m: Module, operands, weights, stages: int, advance: Signal):
        """Pairs of outputs, or outputs of twice the width."""
        for first in range(0, self.tn, 2):
            pair = JoinableProducts(
                width=self.width, ti=self.ti, style=self.multiplier, stages=stages
            )
            m.submodules[f"pair_{first // 2}"] = pair
            m.d.comb += [
                pair.enable.eq(advance),
                pair.joined.eq(operands.control.joined),
                pair.half.eq(operands.control.half),
                pair.x.eq(operands.neurons),
            ]
            for a in range(2):
                m.d.comb += [
                    pair.w[a].eq(weights[first + a]),
                    self.o.payload.products[first + a].eq(pair.o[a]),
                ]
