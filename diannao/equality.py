"""The check that a target computed what golden computes."""

from collections.abc import Mapping

import numpy as np

from sim.execution import Execution

__all__ = ["MismatchError", "check_equal"]


class MismatchError(Exception):
    """A target computed something else than golden: a bug, never a tolerance."""


def check_equal(execution: Execution, expected: Mapping[str, np.ndarray], target: str) -> int:
    """Compare every tensor of ``execution``, bit for bit; returns how many there are.

    Raises
    ------
    MismatchError
        If they differ anywhere.
    """
    for name, value in execution.tensors.items():
        wanted = expected[name]
        wrong = np.argwhere(value != wanted)
        if len(wrong):
            at = tuple(int(index) for index in wrong[0])
            raise MismatchError(
                f"{target} differs from golden in {len(wrong)} of {value.size} elements of "
                f"tensor {name!r}, first at {at}: {value[at]}, not {wanted[at]}"
            )
    return len(execution.tensors)
