"""What is wrong with a node's program, as the node would report it."""

from hw.dadiannao.isa import ErrorCode

__all__ = ["NodeError"]


class NodeError(Exception):
    """A node's program cannot run to its end with a defined result.

    Parameters
    ----------
    node : its number
    pc : byte offset of the instruction from the start of the node's program
    message : what must be, and what was found
    code : what the ERROR register would show. WATCHDOG stands for a program that hangs, NONE for
        one that the node runs without noticing that its result is undefined
    """

    def __init__(self, node: int, pc: int, message: str, code: ErrorCode = ErrorCode.NONE):
        super().__init__(f"node {node}, instruction at byte {pc}: {message}")
        self.node = node
        self.pc = pc
        self.code = code
