"""The single-precision multiplier against numpy's."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.arith.float_multiplier import FloatMultiplier

SMALLEST = np.finfo(np.float32).tiny

CORNERS = np.array(
    [
        0x00000000, 0x80000000,  # zeros
        0x00000001, 0x80000001, 0x007FFFFF, 0x00400000,  # subnormal numbers
        0x00800000, 0x00800001, 0x00FFFFFF,  # the smallest normal ones
        0x3F800000, 0xBF800000, 0x3F800001, 0x3FFFFFFF, 0x3F7FFFFF, 0x3F000000,  # around one
        0x1FFFFFFF, 0x20000000, 0x5F800000, 0x60000000,
        0x7F7FFFFF, 0xFF7FFFFF, 0x7F000000,  # the largest
        0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001,  # infinities, not-a-numbers
    ],
    np.uint32,
)  # fmt: skip


def operands() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of corners, random bits, and products near the ends of the range and at ties."""
    rng = np.random.default_rng(7)
    corners = np.array(list(itertools.product(CORNERS, CORNERS)), np.uint32)
    random = rng.integers(0, 1 << 32, (1500, 2), np.uint32, endpoint=False)
    exponents = rng.integers(1, 200, 1500)
    partners = np.clip(rng.choice([127, 254 + 127], 1500) - exponents, 1, 254)
    near = rng.integers(0, 1 << 23, (1500, 2)) | np.stack([exponents, partners], 1) << 23
    few_bits = rng.integers(0, 1 << 12, (500, 2)) << 11 | rng.integers(90, 160, (500, 2)) << 23
    pairs = np.concatenate([corners, random, near.astype(np.uint32), few_bits.astype(np.uint32)])
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def multiply(a: np.ndarray, b: np.ndarray, *, subnormals: bool) -> np.ndarray:
    dut = FloatMultiplier(subnormals=subnormals)
    m = Module()
    m.submodules.dut = dut
    got = np.empty(len(a), np.uint32)

    async def bench(ctx):
        for k, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
            ctx.set(dut.a.as_value(), x)
            ctx.set(dut.b.as_value(), y)
            got[k] = ctx.get(dut.o.as_value())

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return got


@pytest.mark.parametrize("subnormals", [True, False])
def test_products_are_numpys(subnormals):
    a, b = operands()
    with np.errstate(all="ignore"):
        product = a.view(np.float32) * b.view(np.float32)
        exact = np.abs(a.view(np.float32).astype(float) * b.view(np.float32).astype(float))
    expected = product.view(np.uint32).copy()
    expected[np.isnan(product)] = 0x7FC00000
    if not subnormals:
        flushed = [np.where(n >> 23 & 0xFF, n, n & 0x80000000).view(np.float32) for n in (a, b)]
        with np.errstate(all="ignore"):
            product = flushed[0] * flushed[1]
            exact = np.abs(flushed[0].astype(float) * flushed[1].astype(float))
        expected = product.view(np.uint32).copy()
        expected[np.isnan(product)] = 0x7FC00000
        small = exact < SMALLEST
        expected[small] &= 0x80000000
    got = multiply(a, b, subnormals=subnormals)
    wrong = np.flatnonzero(got != expected)
    assert not len(wrong), [
        f"{a[k]:08x} * {b[k]:08x} = {got[k]:08x}, not {expected[k]:08x}" for k in wrong[:5]
    ]
    tiny = (exact > 0) & (exact < SMALLEST)
    assert tiny.sum() > 100  # both sides of the border are among them
    assert np.isinf(product).sum() > 20
