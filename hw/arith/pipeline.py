"""Pipeline registers."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal

__all__ = ["delay"]


def delay(
    m: Module, value, stages: int, *, enable, name: str, reset_less: bool = True, init: Any = None
) -> Any:
    """``value`` after ``stages`` registers that advance with ``enable``.

    Data need no reset, as nothing looks at them before a valid bit says so; the valid bits
    themselves are delayed with ``reset_less=False``.

    Parameters
    ----------
    m : module that gets the registers
    value : value or view; the result has its shape
    stages : number of registers, 0 or more
    enable : one bit; without it all registers keep their content
    name : stem of the registers' names
    init : their content in the beginning, to which FPGAs set them without a LUT; None for 0
    """
    shape = value.shape()
    if isinstance(shape, Shape) and shape.width == 0:
        return value
    for stage in range(stages):
        register = Signal(shape, name=f"{name}_{stage + 1}", reset_less=reset_less, init=init)
        with m.If(enable):
            m.d.sync += register.eq(value)
        value = register
    return value
