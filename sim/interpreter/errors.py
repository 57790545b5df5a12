"""What is wrong with a program, as the core would report it."""

from hw.diannao.isa import ErrorCode

__all__ = ["ExecutionError"]


class ExecutionError(Exception):
    """The program cannot run to its end with a defined result.

    Parameters
    ----------
    pc : byte offset of the instruction from the start of the program
    message : what must be, and what was found
    code : what the core's ERROR register would show. WATCHDOG stands for a program that hangs, NONE
        for one that the core runs without noticing that its result is undefined
    """

    def __init__(self, pc: int, message: str, code: ErrorCode = ErrorCode.NONE):
        super().__init__(f"instruction at byte {pc}: {message}")
        self.code = code
        self.pc = pc
