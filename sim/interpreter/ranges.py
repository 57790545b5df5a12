"""Whether a nest stays inside the buffers, and whether what it needs has been loaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode, NfuIn
from hw.nfu.layouts import Op

from .errors import ExecutionError
from .nest import Nest
from .ring import Ring

__all__ = ["check_nest"]


@dataclass(frozen=True)
class _Rule:
    """Something that no step may do.

    Parameters
    ----------
    code, text : what it is
    possible : whether any step might do it; quick, for all steps at once
    broken : which of some steps do it
    """

    code: ErrorCode
    text: str
    possible: bool
    broken: Callable[[np.ndarray], np.ndarray]


def check_nest(nest: Nest, config: Config, nbin: Ring, sb: Ring | None, pc: int) -> None:
    """Raise the fault that the core would raise first while it runs ``nest``, if any.

    ``sb`` is None where SB is no ring but keeps its rows, none of which may be freed.
    """
    rules = [rule for rule in _rules(nest, config, nbin, sb) if rule.possible]
    if not rules:
        return
    for steps in nest.scan():
        broken = np.array([rule.broken(steps) for rule in rules])
        if broken.any():
            step = int(np.argmax(broken.any(axis=0)))
            rule = rules[int(np.argmax(broken[:, step]))]
            raise ExecutionError(pc, f"{rule.text}, but step {steps[step]} does", rule.code)


def _rules(nest: Nest, config: Config, nbin: Ring, sb: Ring | None) -> Iterator[_Rule]:
    """All rules; those that the core checks first come first."""
    code = ErrorCode.NBIN_RANGE, ErrorCode.SB_RANGE
    reach = config.ti if nest.reads_nbin else 0, 1 if nest.reads_sb else 0
    most = config.nbin_elements, config.sb_rows if sb is not None else 0
    yield from _ring_rules(nest, "nbin", code[0], reach[0], config.nbin_elements, most[0])
    yield from _ring_rules(nest, "sb", code[1], reach[1], config.sb_rows, most[1])
    if nest.reads_nbin:
        yield _row_rule(nest, "nbout", ErrorCode.NBOUT_RANGE, config.nbout_rows)
    if nest.slot.op == Op.BIAS or (nest.slot.op == Op.MAC and nest.slot.source == NfuIn.BIAS):
        yield _row_rule(nest, "bias", ErrorCode.BIAS_RANGE, config.bias_rows)
    yield _arrival_rule(nest, "nbin", reach[0], nbin)
    if sb is not None:
        yield _arrival_rule(nest, "sb", reach[1], sb)


def _ring_rules(
    nest: Nest, ring: str, code: ErrorCode, reach: int, capacity: int, most: int
) -> Iterator[_Rule]:
    """Reads must lie within ``capacity`` entries from the tail, and no step frees over ``most``."""
    lead, free = f"{ring}_lead", f"{ring}_free"
    low, high = nest.span(lead)
    last = capacity - reach
    if reach:
        yield _Rule(
            code,
            f"no read of {ring} may begin before the tail or beyond {last} entries from it",
            low < 0 or high > last,
            lambda steps: (nest.at(lead, steps) < 0) | (nest.at(lead, steps) > last),
        )
    yield _Rule(
        code,
        f"no step may free more than {most} entries of {ring}",
        nest.most_freed(free) > most,
        lambda steps: nest.freed(free, steps + 1) - nest.freed(free, steps) > most,
    )


def _row_rule(nest: Nest, field: str, code: ErrorCode, rows: int) -> _Rule:
    low, high = nest.span(field)
    return _Rule(
        code,
        f"no step may use a row outside the {rows} rows of {field}",
        low < 0 or high >= rows,
        lambda steps: (nest.at(field, steps) < 0) | (nest.at(field, steps) >= rows),
    )


def _arrival_rule(nest: Nest, ring: str, reach: int, buffer: Ring) -> _Rule:
    """What a step reads or frees must be loaded by this instruction or an earlier one."""
    free = f"{ring}_free"
    loaded = buffer.head - buffer.tail
    return _Rule(
        ErrorCode.WATCHDOG,
        f"no step may need more of {ring} than is loaded up to this instruction "
        f"({loaded} entries from the tail)",
        (reach > 0 and nest.span(ring)[1] + reach > loaded)
        or nest.freed(free, nest.steps) > loaded,
        lambda steps: (
            (nest.freed(free, steps + 1) > loaded)
            | ((nest.at(ring, steps) + reach > loaded) & (reach > 0))
        ),
    )
