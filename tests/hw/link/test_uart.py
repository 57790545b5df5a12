# amaranth: UnusedElaboratable=no
"""UART receiver and transmitter: what one sends, the other receives, also off speed."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.link.uart import UartReceiver, UartTransmitter


def run(m, *processes):
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    for process in processes:
        simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("divisor", [4, 7, 24])
def test_bytes_cross_the_line(divisor):
    """Random bytes with random pauses, through a line that joins the two."""
    m = Module()
    m.submodules.sender = sender = UartTransmitter(divisor=divisor)
    m.submodules.receiver = receiver = UartReceiver(divisor=divisor)
    m.d.comb += receiver.rx.eq(sender.tx)
    rng = random.Random(divisor)
    sent = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *rng.randbytes(50)]
    received = []

    async def send(ctx):
        for byte in sent:
            await ctx.tick().repeat(rng.choice([1, 1, 5 * divisor]))
            ctx.set(sender.i.payload, byte)
            ctx.set(sender.i.valid, 1)
            await ctx.tick().until(sender.i.ready)
            ctx.set(sender.i.valid, 0)
        await ctx.tick().repeat(12 * divisor)

    async def receive(ctx):
        ctx.set(receiver.o.ready, 1)
        while len(received) < len(sent):
            (byte,) = await ctx.tick().sample(receiver.o.payload).until(receiver.o.valid)
            received.append(byte)

    run(m, send, receive)
    assert received == sent


def line_of(byte, bit_cycles, stop=1):
    """The line, cycle by cycle, while a byte is sent with ``bit_cycles`` (not a whole number)."""
    bits = [0, *(byte >> n & 1 for n in range(8)), stop]
    return [bits[int(cycle / bit_cycles)] for cycle in range(int(10 * bit_cycles))]


@pytest.mark.parametrize("speed", [0.97, 1.03])
def test_sender_that_is_off_speed(speed):
    """Three percent off in either direction is still understood, byte after byte."""
    receiver = UartReceiver(divisor=24)
    sent = random.Random(1).randbytes(30)
    received = []

    async def drive(ctx):
        ctx.set(receiver.rx, 1)
        ctx.set(receiver.o.ready, 1)
        await ctx.tick().repeat(5)
        for byte in sent:
            for level in line_of(byte, 24 * speed):
                ctx.set(receiver.rx, level)
                *_, valid, payload = await ctx.tick().sample(receiver.o.valid, receiver.o.payload)
                if valid:
                    received.append(payload)
        for _ in range(40):
            *_, valid, payload = await ctx.tick().sample(receiver.o.valid, receiver.o.payload)
            if valid:
                received.append(payload)

    run(receiver, drive)
    assert bytes(received) == sent


def test_broken_bytes_are_dropped():
    """A byte without stop bit and a glitch instead of a start bit give nothing."""
    receiver = UartReceiver(divisor=8)
    received = []

    async def drive(ctx):
        ctx.set(receiver.o.ready, 1)
        levels = [1] * 10 + line_of(0x42, 8, stop=0) + [1] * 100
        levels += [0, 0] + [1] * 100 + line_of(0x43, 8) + [1] * 20
        for level in levels:
            ctx.set(receiver.rx, level)
            *_, valid, payload = await ctx.tick().sample(receiver.o.valid, receiver.o.payload)
            if valid:
                received.append(payload)

    run(receiver, drive)
    assert received == [0x43]


def test_a_byte_not_taken_is_replaced():
    receiver = UartReceiver(divisor=8)

    async def drive(ctx):
        for level in [1] * 10 + line_of(0x11, 8) + line_of(0x22, 8) + [1] * 10:
            ctx.set(receiver.rx, level)
            await ctx.tick()
        assert ctx.get(receiver.o.valid)
        assert ctx.get(receiver.o.payload) == 0x22

    run(receiver, drive)


@pytest.mark.parametrize("component", [UartReceiver, UartTransmitter])
def test_divisor_is_checked(component):
    with pytest.raises(ValueError, match="divisor must be at least 4 cycles per bit, not 3"):
        component(divisor=3)
