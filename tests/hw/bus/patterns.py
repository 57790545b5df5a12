"""Random memory access patterns and waiting times for the DMA benches."""

import random

import numpy as np

from hw.bus.descriptor import Descriptor

__all__ = [
    "decode_word",
    "encode",
    "expected_words",
    "gaps",
    "pattern",
    "pauses",
    "random_pattern",
    "run_addresses",
]


def gaps(rng, stall):
    """Waiting times for one handshake: often none, up to ``stall`` cycles."""
    return (lambda: rng.choice((0, 0, rng.randint(0, stall)))) if stall else None


def pauses(rng):
    """A pause generator for cocotbext-axi."""
    while True:
        yield rng.random() < 0.4


def pattern(address: int, run: int, count=(1, 1, 1), stride=(0, 0, 0)) -> dict:
    """A descriptor as a dictionary."""
    return {"address": address, "run": run, "count": list(count), "stride": list(stride)}


def encode(descriptor: dict) -> int:
    """The bits of a descriptor, as it enters a port."""
    return Descriptor.const(descriptor).as_bits()


def run_addresses(descriptor: dict) -> list[int]:
    """Where the runs begin, in order: the loops written down as the ISA defines them."""
    address, (c0, c1, c2), (s0, s1, s2) = (descriptor[k] for k in ("address", "count", "stride"))
    return [
        address + i0 * s0 + i1 * s1 + i2 * s2
        for i2 in range(c2)
        for i1 in range(c1)
        for i0 in range(c0)
    ]


def expected_words(memory: np.ndarray, descriptors: list[dict], beat: int) -> list[tuple]:
    """What a ``ReadDma`` delivers: (bytes, last_of_run, last) of every word."""
    words = []
    for descriptor in descriptors:
        addresses = run_addresses(descriptor)
        for number, address in enumerate(addresses):
            content = memory[address : address + descriptor["run"]].tobytes()
            for k in range(0, len(content), beat):
                end = k + beat >= len(content)
                words.append((content[k : k + beat], end, end and number == len(addresses) - 1))
    return words


def decode_word(payload: int, beat: int) -> tuple[bytes, bool, bool]:
    """The bits of a ``WordLayout`` as (bytes, last_of_run, last)."""
    count = payload >> 8 * beat & (2 * beat - 1)
    content = (payload & ((1 << 8 * count) - 1)).to_bytes(count, "little")
    flags = payload >> 8 * beat + beat.bit_length()
    return content, bool(flags & 1), bool(flags >> 1)


def random_pattern(rng: random.Random, memory: int, longest: int, unit: int = 1) -> dict:
    """A pattern inside ``memory`` bytes.

    Runs have up to ``longest`` bytes; ``unit`` divides all addresses. Short runs, runs that touch a
    4 KiB boundary, and strides of both signs are frequent.
    """
    while True:
        run = rng.choice((rng.randint(1, 2 * unit + 4), rng.randint(1, longest)))
        count = [rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)]
        reach = rng.choice((64, 5000))
        stride = [rng.randint(-reach, reach) // unit * unit for _ in range(3)]
        address = rng.randrange(memory)
        if rng.random() < 0.5:
            address = 4096 * rng.randint(1, memory // 4096 - 1) + rng.randint(-longest, longest)
        descriptor = pattern(address // unit * unit, run, count, stride)
        addresses = run_addresses(descriptor)
        if min(addresses) >= 0 and max(addresses) + run <= memory:
            return descriptor
