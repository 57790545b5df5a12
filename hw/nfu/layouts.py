"""What travels between the NFU's stages."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "Control",
    "Held",
    "Op",
    "Operands",
    "PartialPort",
    "Products",
    "Sums",
    "UpdatedRow",
    "lanes",
    "products",
    "row_bits",
    "synapses",
    "words",
]


class Op(enum.Enum, shape=4):
    """What the NFU does with a step (the operation of the instruction set's NFU slot).

    MAC    Ti neurons times Tn x Ti synapses, added to Tn partial sums
    MAX    lane-wise maximum of neurons and partial sums that fit a neuron (NFU-1 is bypassed)
    SUM    lane-wise sum of neurons and partial sums (NFU-1 is bypassed)
    BIAS   one SB row of Tn words (2*width bits each) into the bias row
    TABLE  one SB row of Tn words, shifted into the activation table of NFU-3
    """

    MAC = 1
    MAX = 2
    SUM = 3
    BIAS = 4
    TABLE = 5


class Held(enum.Enum, shape=2):
    """What MAC multiplies its neurons with.

    SB    with the row of SB, as always
    EACH  each neuron with the held one of its place, for the output of its place: like synapses
          with the held neurons in the diagonal
    ALL   every neuron with every held one; nothing of it goes to the outputs. The sum of products
          of neuron i and held neuron n is, at the end, shifted right and rounded, saturated, added
          to synapse [n][i] of the SB row, saturated, and written back (weight update). What a
          nest without its end leaves (target NBOUT), the next update may go on with (source NBOUT)
    """

    SB = 0
    EACH = 1
    ALL = 2


class Control(data.StructLayout):
    """Control that accompanies each step through the pipeline.

    ``first``/``last`` mark the ends of an accumulation: ``first`` starts it from the bias row (MAC)
    or from the operand (MAX, SUM) instead of NBout's ``row``, ``last`` sends it to NFU-3 instead of
    NBout's ``row``. ``shift`` and ``scale`` are the right shifts before and after the activation.

    With ``aggregate`` there are three more: ``joined`` makes MAC, MAX and SUM work on numbers of
    twice the width, of which a row has half as many; ``half`` chooses one of the two halves that
    the rows of synapses then have; ``derivative`` sends TABLE to the second table, and lets the
    second table's results follow those of the first (which joined numbers do not have).

    With ``updated_rows`` (of SB; for ``aggregate`` only) NFU-1 can hold neurons: ``hold`` marks the
    steps that bring them, ``held`` says what MAC multiplies with, ``sb`` is the row of SB.
    """

    def __init__(
        self, nbout_rows: int, bias_rows: int, aggregate: bool = False, updated_rows: int = 0
    ):
        self.aggregate = aggregate
        self.updated_rows = updated_rows
        more: dict = dict.fromkeys(
            ("joined", "half", "derivative") if aggregate else (), unsigned(1)
        )
        if updated_rows:
            more |= {"hold": unsigned(1), "held": Held, "sb": range(updated_rows)}
        super().__init__(
            {
                "op": Op,
                "first": unsigned(1),
                "last": unsigned(1),
                "row": range(nbout_rows),
                "bias": range(bias_rows),
                "shift": unsigned(6),
                "scale": unsigned(6),
                **more,
            }
        )


def lanes(width: int, count: int) -> data.ArrayLayout:
    """``count`` neurons of ``width`` bits."""
    return data.ArrayLayout(signed(width), count)


def synapses(width: int, tn: int, ti: int) -> data.ArrayLayout:
    """Tn rows of Ti synapses: element [n][i] meets neuron i and feeds output n."""
    return data.ArrayLayout(data.ArrayLayout(signed(width), ti), tn)


def row_bits(width: int, tn: int, ti: int) -> int:
    """Bits of an SB row: Tn x Ti synapses, and never less than Tn parameter words."""
    return max(tn * ti, 2 * tn) * width


class Operands(data.StructLayout):
    """What NFU-1 takes: a step's control, Ti neurons, and a row of SB.

    The row is Tn x Ti synapses (MAC) or Tn parameter words of twice the width (BIAS, TABLE), both
    from bit 0 upwards.
    """

    def __init__(self, control: Control, neurons: data.ArrayLayout, row_bits: int):
        super().__init__({"neurons": neurons, "row": unsigned(row_bits), "control": control})


def products(width: int, tn: int, ti: int, aggregate: bool = False) -> data.ArrayLayout:
    """Tn rows of Ti products of twice the width, and one bit more if operators join."""
    return data.ArrayLayout(data.ArrayLayout(signed(2 * width + aggregate), ti), tn)


def words(width: int, tn: int) -> data.ArrayLayout:
    """A row of Tn parameter words of twice the width: biases, or a piece of an activation table."""
    return data.ArrayLayout(signed(2 * width), tn)


class Products(data.StructLayout):
    """From NFU-1 to NFU-2: the products, and what goes around the multipliers and adder trees.

    ``parameters`` are 0 in all steps but BIAS and TABLE, and ``neurons`` in all but MAX and SUM, so
    what goes around can be put together with OR. ``row`` is the step's SB row, if the control has
    ``updated_rows``.
    """

    def __init__(self, control: Control, width: int, tn: int, ti: int):
        row = {"row": unsigned(row_bits(width, tn, ti))} if control.updated_rows else {}
        super().__init__(
            {
                "products": products(width, tn, ti, control.aggregate),
                "parameters": words(width, tn),
                "neurons": lanes(width, min(tn, ti)),
                "control": control,
                **row,
            }
        )


class UpdatedRow(data.StructLayout):
    """What goes back into row ``row`` of SB."""

    def __init__(self, control: Control, row_bits: int):
        super().__init__({"data": unsigned(row_bits), "row": range(control.updated_rows)})


class Sums(data.StructLayout):
    """From NFU-2 to NFU-3: finished sums, or parameter words (TABLE)."""

    def __init__(self, control: Control, acc_width: int, tn: int):
        super().__init__({"sums": lanes(acc_width, tn), "control": control})


class PartialPort(wiring.Signature):
    """NFU-2's port into the partial sums of NBout, seen from NFU-2.

    One row is read and one written per cycle. ``read_data`` shows row ``read_row`` from the cycle
    after one with ``read``, and keeps it until the cycle after the next ``read``. What a read gives
    of a row that is written in the same cycle does not matter: NFU-2 then forwards its own value.

    Parameters
    ----------
    rows : rows of partial sums
    acc_width : bits of a partial sum
    tn : partial sums of a row
    """

    def __init__(self, *, rows: int, acc_width: int, tn: int):
        super().__init__(
            {
                "read_row": Out(range(rows)),
                "read": Out(1),
                "read_data": In(lanes(acc_width, tn)),
                "write_row": Out(range(rows)),
                "write": Out(1),
                "write_data": Out(lanes(acc_width, tn)),
            }
        )
