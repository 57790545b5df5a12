"""Weight update: NFU-2's second way to add, in parallel (paper, section V.B.3)."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.requantise import Requantise
from .layouts import Control, Products, UpdatedRow, row_bits

__all__ = ["Update"]


class Update(wiring.Component):
    """Sums of products of their own for every synapse, and their way into the row of SB.

    ::

        products -> Tn x Ti sums -> round, saturate -> + synapses, saturate -> o
                        ^    |
                        +----+

    A step adds Tn x Ti products to as many sums, or, joined, Tn x Ti / 4 of twice the width; the
    ``first`` one starts them. After the ``last`` one they are shifted right by ``shift``, rounded
    and saturated, added to the synapses of that step's row, or to those of its ``half``, and
    saturated again. So nothing is lost but once per update, however many products it has.

    The paper lets its trees' adders do this. Here it has adders of its own, since the way through
    the trees would need a choice in front of each of them; the register between sum and rounding
    keeps it off the critical path. One step per cycle; a row leaves two advances after the last
    step.

    Parameters
    ----------
    tn, ti : equal, even
    width : bits of a number that is not joined
    acc_width : bits of a sum of such ones' products; joined sums have ``2 * width`` more
    control : layout of the steps' control, with ``updated_rows``

    Members
    -------
    i : In(stream(Products)) of MAC with Held.ALL
    o : Out(stream(UpdatedRow))
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, tn: int, ti: int, width: int, acc_width: int, control: Control):
        self.tn = tn
        self.ti = ti
        self.width = width
        self.acc_width = acc_width
        bits = row_bits(width, tn, ti)
        super().__init__(
            {
                "i": In(stream.Signature(Products(control, width, tn, ti))),
                "o": Out(stream.Signature(UpdatedRow(control, bits))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = self.width
        products, control = self.i.payload.products, self.i.payload.control
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        finished = Signal()
        with m.If(advance):
            m.d.sync += finished.eq(self.i.valid & control.last)
        takes = advance & self.i.valid
        kept = Signal.like(control, reset_less=True)
        row = Signal.like(self.i.payload.row, reset_less=True)
        with m.If(takes):
            m.d.sync += [kept.eq(control), row.eq(self.i.payload.row)]

        updated = Signal.like(row)
        m.d.comb += updated.eq(row)
        for n in range(0, self.tn, 2):
            for i in range(0, self.ti, 2):
                # The four lanes of a joined number's product: [a][b] is synapse [n + a][i + b].
                square = [(a, b) for a in range(2) for b in range(2)]
                name = f"{n}_{i}"
                parts = {(a, b): products[n + a][i + b] for a, b in square}
                whole = (
                    parts[0, 0]
                    + ((parts[0, 1] + parts[1, 0]) << width)
                    + (parts[1, 1] << 2 * width)
                )
                sums = Signal(4 * self.acc_width, name=f"sums_{name}", reset_less=True)
                before = Mux(control.first, 0, sums)
                size = self.acc_width
                old = {(a, b): before[(2 * a + b) * size :][:size].as_signed() for a, b in square}
                apart = [(old[key] + parts[key])[:size] for key in square]
                joined = before[: size + 2 * width].as_signed() + whole
                with m.If(takes):
                    m.d.sync += sums.eq(Mux(control.joined, joined, Cat(apart)))

                def place(a: int, b: int, count: int = 1, n=n, i=i) -> slice:
                    first = ((n + a) * self.ti + i + b) * width
                    return slice(first, first + count * width)

                synapses = Mux(kept.half, row[place(1, 0, 2)], row[place(0, 0, 2)]).as_signed()
                total = sums[: size + 2 * width].as_signed()
                value = self._updated(m, synapses, total, kept.shift, name)
                with m.If(kept.joined & kept.half):
                    m.d.comb += updated[place(1, 0, 2)].eq(value)
                with m.Elif(kept.joined):
                    m.d.comb += updated[place(0, 0, 2)].eq(value)
                for a, b in square:
                    synapse = row[place(a, b)].as_signed()
                    total = sums[(2 * a + b) * size :][:size].as_signed()
                    value = self._updated(m, synapse, total, kept.shift, f"{name}_{a}_{b}")
                    with m.If(~kept.joined):
                        m.d.comb += updated[place(a, b)].eq(value)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(finished),
                self.o.payload.data.eq(updated),
                self.o.payload.row.eq(kept.sb),
            ]
        return m

    def _updated(self, m: Module, synapse: Value, total: Value, shift: Value, name: str) -> Signal:
        """``synapse`` with the shifted and rounded sum, everything saturated."""
        width = len(synapse)
        requantise = Requantise(
            input_width=len(total), width=width, max_shift=(1 << len(shift)) - 1
        )
        m.submodules[f"requantise_{name}"] = requantise
        m.submodules[f"saturate_{name}"] = saturate = Requantise(
            input_width=width + 1, width=width, max_shift=0
        )
        m.d.comb += [
            requantise.i.eq(total),
            requantise.shift.eq(shift),
            saturate.i.eq(synapse + requantise.o),
        ]
        return saturate.o
