"""Pipelined reduction of many numbers to one: the adder tree and the max tree of NFU-2."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .pipeline import delay

__all__ = ["Reduction", "ReductionTree"]


class Reduction(enum.Enum):
    """How two numbers become one."""

    ADD = 0
    MAX = 1


class ReductionTree(wiring.Component):
    """Balanced tree of two-input adders or comparators over ``count`` signed numbers.

    Latency is ``stages`` advances, throughput one reduction per advance. The registers are spread
    evenly over the ``ceil(log2(count))`` levels and the last one is at the output; more registers
    than levels leave some in front. Registers are not reset. (Paper: NFU-2, section 5.2.)
    With ``clear``, the result that would go to the output register, or to the output if there is
    none, is 0 instead.

    Parameters
    ----------
    operation : ``Reduction.ADD`` or ``Reduction.MAX``
    width : bits of an operand
    count : operands, 1 or more
    stages : pipeline registers, 0 (combinational) or more

    Members
    -------
    enable : In(1), the pipeline advances
    clear : In(1)
    i : In(ArrayLayout(signed(width), count))
    o : Out(signed(output_width)); a sum grows by ``ceil(log2(count))`` bits and is exact

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    enable: Signal
    clear: Signal
    i: data.View
    o: Signal

    def __init__(self, *, operation: Reduction, width: int, count: int, stages: int):
        if width < 1:
            raise ValueError(f"width must be 1 or more, not {width!r}")
        if count < 1:
            raise ValueError(f"count must be 1 or more, not {count!r}")
        if stages < 0:
            raise ValueError(f"stages must be 0 or more, not {stages!r}")
        self.operation = operation
        self.count = count
        self.stages = stages
        self.levels = ceil_log2(count)
        self.output_width = width + (self.levels if operation is Reduction.ADD else 0)
        super().__init__(
            {
                "enable": In(1),
                "clear": In(1),
                "i": In(data.ArrayLayout(signed(width), count)),
                "o": Out(signed(self.output_width)),
            }
        )

    @property
    def latency(self) -> int:
        """Advances from ``i`` to ``o``."""
        return self.stages

    def _reduce(self, a: Value, b: Value) -> Value:
        return a + b if self.operation is Reduction.ADD else Mux(a > b, a, b)

    def elaborate(self, platform):
        m = Module()
        # Number of registers in front of each level, and (last entry) behind the last one, without
        # the output register.
        registers = [0] * (self.levels + 1)
        for stage in range(1, self.stages):
            registers[self.levels * stage // self.stages] += 1

        values = [self.i[k] for k in range(self.count)]
        for level in range(self.levels + 1):
            if level:
                pairs = zip(values[::2], values[1::2], strict=False)
                odd = values[len(values) // 2 * 2 :]
                values = [self._reduce(a, b) for a, b in pairs] + odd
            values = [
                delay(m, value, registers[level], enable=self.enable, name=f"level{level}_{k}")
                for k, value in enumerate(values)
            ]
        result = Signal(signed(self.output_width))
        m.d.comb += [
            result.eq(Mux(self.clear, 0, values[0])),
            self.o.eq(delay(m, result, min(self.stages, 1), enable=self.enable, name="result")),
        ]
        return m
