"""Weights, biases and tables in the form in which SB takes them."""

import numpy as np

from hw.arith.numbers import NO_MIRROR, Table, bounds
from hw.diannao.config import Config
from hw.errors import UserError

__all__ = ["adjusted_bias", "pack_biases", "pack_rows", "pack_table"]


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows (of any type) as bytes, each padded with zeros to ``size``."""
    rows = np.ascontiguousarray(rows)
    raw = rows.view(np.uint8).reshape(len(rows), -1)
    return np.pad(raw, ((0, 0), (0, size - raw.shape[1])))


def pack_rows(synapses: np.ndarray, config: Config) -> np.ndarray:
    """Rows of synapses (rows, Tn, Ti) as bytes (rows, weight_row_bytes)."""
    rows = synapses.astype(f"<i{config.element_bytes}").reshape(len(synapses), -1)
    return _padded(rows, config.weight_row_bytes)


def pack_biases(words: np.ndarray, config: Config) -> np.ndarray:
    """Rows of parameter words (rows, Tn) as bytes (rows, bias_row_bytes)."""
    return _padded(words.astype(f"<i{2 * config.element_bytes}"), config.bias_row_bytes)


def pack_table(table: Table, config: Config) -> np.ndarray:
    """An activation table as bytes (table_rows, bias_row_bytes).

    A table with fewer segments than the core is preceded by empty ones: their successors begin at
    the smallest number, so no value falls into them. Words that make up the last row come first,
    where the table shifts them out again. Segment 0 needs no lower bound; its place holds the
    constant of a mirrored table.
    """
    missing = config.segments - table.segments
    if missing < 0:
        raise UserError(
            f"activation tables must have at most {config.segments} segments, not "
            f"{table.segments}; set segments={table.segments} in the configuration"
        )
    lowest = bounds(config.width)[0]
    mirror = NO_MIRROR if table.mirror is None else table.mirror
    starts = np.array([mirror] + [lowest] * missing + list(table.breakpoints), dtype=np.int64)
    a = np.array([0] * missing + list(table.a), dtype=np.int64)
    b = np.array([0] * missing + list(table.b), dtype=np.int64)
    mask = (1 << config.width) - 1
    words = np.stack([(a << config.width) | (starts & mask), b], axis=1).reshape(-1)
    words = np.pad(words, (config.table_rows * config.tn - len(words), 0))
    return pack_biases(words.reshape(config.table_rows, config.tn), config)


def adjusted_bias(bias: np.ndarray, products: int, constant: int, config: Config, name: str):
    """``bias`` minus what ``products`` idle multipliers add, ``constant`` each.

    A multiplier whose synapse is zero still contributes the compensation constant of the truncated
    product, so the start value of the sum takes it back.
    """
    words = np.asarray(bias, dtype=np.int64) - products * constant
    low, high = bounds(2 * config.width)
    if words.min() < low or words.max() > high:
        raise UserError(
            f"layer {name!r}: biases minus the compensation of {products} idle multipliers must "
            f"fit {2 * config.width} bits, but reach {max(words.max(), -words.min())}; "
            f"choose fewer fraction bits for its weights or inputs, or drop=0"
        )
    return words
