"""The neural functional unit: three staggered stages (paper, section 5.2 and figure 11)."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .layouts import Control, Held, Op, Operands, PartialPort, UpdatedRow, lanes, row_bits
from .nfu1 import Nfu1
from .nfu2 import Nfu2
from .nfu3 import Nfu3
from .nfu3_joinable import JoinableNfu3
from .update import Update

__all__ = ["Nfu"]


class Nfu(wiring.Component):
    """NFU-1, NFU-2 and NFU-3 in a row::

        neurons, synapses -> NFU-1 -> NFU-2 -> NFU-3 -> output neurons
                             Tn x Ti  Tn trees Tn piecewise-linear
                             products  ^   |   functions
                                       |   v
                                   partial sums (NBout)

    One step enters per cycle and nothing ever stops the pipeline but a consumer that does not
    accept outputs, or rows of outputs that follow each other within ``tn / nfu3_lanes`` steps.
    Steps take effect in the order in which they enter.

    Parameters
    ----------
    tn, ti : outputs and inputs per step, 1 or more
    width : bits of a neuron or synapse
    drop : partial-product columns left out of each multiplier
    multiplier : "array" or "dsp", see Multiplier
    acc_width : bits of a partial sum
    nbout_rows, bias_rows : rows of partial sums and of biases
    segments : segments of the activation table
    nfu1_stages, nfu2_stages, nfu3_stages : pipeline registers of the stages, each 1 or more
    nfu3_lanes : outputs that NFU-3 makes at a time, a divisor of ``tn``; 0 for all of them
    nfu3_multiplier : as ``multiplier``, for NFU-3, or "adders"; empty for the same
    paced : outputs are always accepted, and at least ``tn / nfu3_lanes`` cycles lie between steps
        that go to NFU-3, so nothing stops the pipeline; not with ``aggregate``
    aggregate : operators join for numbers of twice the width, and NFU-3 has a second table, see
        Control; for even ``tn`` and ``ti``, ``drop`` 0 and all lanes in NFU-3
    updated_rows : rows of an SB whose synapses are updated, see Held; 0 for none. For ``aggregate``
        and equal ``tn`` and ``ti``

    Members
    -------
    i : In(stream of Operands)
    o : Out(stream of lanes(width, tn)), finished rows of output neurons
    partial : Out(PartialPort) to NBout
    update : Out(stream(UpdatedRow)), rows for SB, if there are ``updated_rows``
    """

    i: stream.Interface
    o: stream.Interface
    partial: Any
    update: stream.Interface

    def __init__(
        self, *, tn: int, ti: int, width: int, drop: int, multiplier: str, acc_width: int,
        nbout_rows: int, bias_rows: int, segments: int, nfu1_stages: int, nfu2_stages: int,
        nfu3_stages: int, nfu3_lanes: int = 0, nfu3_multiplier: str = "",
        paced: bool = False, aggregate: bool = False, updated_rows: int = 0,
    ):  # fmt: skip
        if aggregate and (tn % 2 or ti % 2 or drop or nfu3_lanes not in (0, tn)):
            raise ValueError(
                "aggregate needs even tn and ti, drop 0 and all lanes in NFU-3, not "
                f"{tn!r}, {ti!r}, {drop!r} and {nfu3_lanes!r}"
            )
        if updated_rows and not (aggregate and tn == ti):
            raise ValueError("updated_rows needs aggregate, and tn and ti to be equal")
        self._numbers = {"width": width, "drop": drop, "multiplier": multiplier}
        self._tn = tn
        self._ti = ti
        self._row_bits = row_bits(width, tn, ti)
        self._acc_width = acc_width
        self._nbout_rows = nbout_rows
        self._bias_rows = bias_rows
        self._segments = segments
        self._stages = nfu1_stages, nfu2_stages, nfu3_stages
        if aggregate and paced:
            raise ValueError("paced must be False with aggregate")
        self._nfu3 = {
            "lanes": nfu3_lanes, "multiplier": nfu3_multiplier or multiplier, "paced": paced
        }  # fmt: skip
        self._control = Control(nbout_rows, bias_rows, aggregate, updated_rows)
        operands = Operands(self._control, lanes(width, ti), self._row_bits)
        updated = UpdatedRow(self._control, self._row_bits)
        update = {"update": Out(stream.Signature(updated))} if updated_rows else {}
        super().__init__(
            {
                "i": In(stream.Signature(operands)),
                "o": Out(stream.Signature(lanes(width, tn))),
                "partial": Out(PartialPort(rows=nbout_rows, acc_width=acc_width, tn=tn)),
                **update,
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        groups = self._tn // (self._nfu3["lanes"] or self._tn)
        return sum(self._stages) + (groups if groups > 1 else 0)

    def elaborate(self, platform):
        m = Module()
        stages1, stages2, stages3 = self._stages
        m.submodules.nfu1 = nfu1 = Nfu1(
            tn=self._tn, ti=self._ti, control=self._control, stages=stages1, **self._numbers,
        )  # fmt: skip
        m.submodules.nfu2 = nfu2 = Nfu2(
            tn=self._tn, ti=self._ti, width=self._numbers["width"], acc_width=self._acc_width,
            control=self._control, nbout_rows=self._nbout_rows, bias_rows=self._bias_rows,
            stages=stages2,
        )  # fmt: skip
        common = {
            "tn": self._tn, "width": self._numbers["width"], "acc_width": self._acc_width,
            "segments": self._segments, "control": self._control, "stages": stages3,
        }  # fmt: skip
        if self._control.aggregate:
            nfu3 = JoinableNfu3(multiplier=self._nfu3["multiplier"], **common)
        else:
            nfu3 = Nfu3(drop=self._numbers["drop"], **self._nfu3, **common)
        m.submodules.nfu3 = nfu3
        connect(m, flipped(self.i), nfu1.i)
        if self._control.updated_rows:
            self._connect_update(m, nfu1, nfu2)
        else:
            connect(m, nfu1.o, nfu2.i)
        connect(m, nfu2.partial, flipped(self.partial))
        connect(m, nfu2.o, nfu3.i)
        connect(m, nfu3.o, flipped(self.o))
        return m

    def _connect_update(self, m: Module, nfu1: Nfu1, nfu2: Nfu2):
        """Products go to NFU-2, or to the adders of the weight update."""
        m.submodules.update = update = Update(
            tn=self._tn, ti=self._ti, width=self._numbers["width"], acc_width=self._acc_width,
            control=self._control,
        )  # fmt: skip
        connect(m, update.o, flipped(self.update))
        control = nfu1.o.payload.control
        updates = Signal()
        m.d.comb += [
            updates.eq((control.op == Op.MAC) & (control.held == Held.ALL)),
            nfu2.i.payload.eq(nfu1.o.payload),
            update.i.payload.eq(nfu1.o.payload),
            nfu2.i.valid.eq(nfu1.o.valid & ~updates),
            update.i.valid.eq(nfu1.o.valid & updates),
            nfu1.o.ready.eq(Mux(updates, update.i.ready, nfu2.i.ready)),
        ]
