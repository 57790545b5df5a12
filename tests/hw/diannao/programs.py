"""Random legal instructions as bits, for the tests of assembler and control processor."""

import random
from dataclasses import dataclass

from hw.diannao import isa
from hw.diannao.fields import SLOTS, Field, fields_of

__all__ = ["UNITS", "WORDS", "Bundle", "cp_word", "random_bundle", "random_slot", "split"]

UNITS = ("sb", "nbin", "nbout", "nfu")
WORDS = {"sb": 5, "nbin": 5, "nbout": 5, "nfu": 14}


def _random_value(rng: random.Random, field: Field) -> int:
    if field.legal is not None:
        return rng.choice(field.legal)
    low, high = field.bounds
    low = 1 if field.positive else low
    return rng.choice((low, high, min(low + 1, high), max(low, 0), rng.randint(low, high)))


def random_slot(rng: random.Random, kind: str) -> int:
    """The bits of a legal slot; corner values are frequent."""
    bits = 0
    for field in fields_of(SLOTS[kind]):
        bits |= (_random_value(rng, field) & ((1 << field.width) - 1)) << field.offset
    return bits


def cp_word(units, *, tag: int = 0, end: bool = False) -> int:
    """The CP slot of an instruction with slots for ``units``."""
    present = {unit: int(unit in units) for unit in UNITS}
    fields = {"magic": 0xD1, "tag": tag, "end": int(end), **present}
    return isa.CpSlot.const(fields).as_bits()


def split(bits: int, words: int) -> list[int]:
    """A slot as words, low bits first."""
    return [bits >> 64 * n & (1 << 64) - 1 for n in range(words)]


@dataclass
class Bundle:
    """An instruction as bits: ``slots`` by unit, in order."""

    slots: dict[str, int]
    tag: int = 0
    end: bool = False

    @property
    def words(self) -> list[int]:
        words = [cp_word(self.slots, tag=self.tag, end=self.end)]
        for unit, bits in self.slots.items():
            words += split(bits, WORDS[unit])
        return words


def random_bundle(rng: random.Random, *, end: bool = False) -> Bundle:
    """An instruction with any set of slots, the empty one included."""
    units = [unit for unit in UNITS if rng.random() < 0.5]
    return Bundle({unit: random_slot(rng, unit) for unit in units}, rng.getrandbits(16), end)
