# amaranth: UnusedElaboratable=no
"""The bridge, byte by byte: plain and checked commands, and lines that lose and spoil bytes."""

import random
import struct

import pytest
from amaranth.sim import Simulator

from boards.frames import BadAnswerError, answer_bytes, parse_answer, read_frame, write_frame
from hw.link.bridge import Bridge
from hw.link.protocol import REGISTERS, Checked, Plain, Status

TIMEOUT = 60
PACE = 14
"""Cycles per byte of the line."""
WORDS = 2048


class Board:
    """The bridge with a memory and registers, and the host's end of the line.

    ``memory`` and ``registers`` map word addresses to words. The registers say ERROR at odd word
    addresses; ``written`` lists every write of a register. ``spoil`` turns each byte of either
    direction into the bytes that arrive.
    """

    def __init__(self, seed=0):
        self.bridge = Bridge(address_width=11, timeout=TIMEOUT)
        self.memory = {}
        self.registers = {}
        self.written = []
        self.rng = random.Random(seed)
        self.spoil = lambda byte: [byte]
        self.received = bytearray()
        self._simulator = Simulator(self.bridge)
        self._simulator.add_clock(1e-6)
        self._finished = False
        self._simulator.add_testbench(self._words)
        self._simulator.add_testbench(self._listen)

    def run(self, host):
        async def whole(ctx):
            await host(ctx)
            self._finished = True

        self._simulator.add_testbench(whole)
        self._simulator.run()

    async def _words(self, ctx):
        words = self.bridge.words
        while not self._finished:
            *_, valid = await ctx.tick().sample(words.valid)
            if not valid:
                continue
            for _ in range(self.rng.choice([0, 0, 1, 5])):
                await ctx.tick()
            address, is_register = ctx.get(words.address), ctx.get(self.bridge.registers)
            store = self.registers if is_register else self.memory
            bad = is_register and address & 1
            if ctx.get(words.write) and not bad:
                store[address] = ctx.get(words.w_data)
                if is_register:
                    self.written.append((address, store[address]))
            ctx.set(words.r_data, 0 if bad else store.get(address, 0))
            ctx.set(words.error, bad)
            ctx.set(words.ready, 1)
            await ctx.tick()
            ctx.set(words.ready, 0)

    async def _listen(self, ctx):
        ctx.set(self.bridge.o.ready, 1)
        o = self.bridge.o
        while not self._finished:
            *_, valid, byte = await ctx.tick().sample(o.valid, o.payload)
            if valid:
                self.received += bytes(self.spoil(byte))

    async def send(self, ctx, content):
        """Bytes at the pace of a line, which holds one that is not taken, no more."""
        i = self.bridge.i
        for byte in content:
            for arriving in self.spoil(byte):
                ctx.set(i.payload, arriving)
                ctx.set(i.valid, 1)
                for _ in range(PACE):
                    _, _, ready = await ctx.tick().sample(i.ready)
                    if ready:
                        ctx.set(i.valid, 0)

    async def receive(self, ctx, count):
        """As many bytes as come, at most ``count``, until the line has been silent."""
        known = -1
        while len(self.received) < count and len(self.received) != known:
            known = len(self.received)
            await ctx.tick().repeat(2 * PACE)
        answer = bytes(self.received[:count])
        self.received.clear()
        return answer

    async def ask(self, ctx, frame, count, sequence):
        """A frame's answer; it is sent again until there is one."""
        for _ in range(20):
            await self.send(ctx, frame)
            try:
                return parse_answer(await self.receive(ctx, answer_bytes(count)), count, sequence)
            except BadAnswerError:
                await ctx.tick().repeat(2 * TIMEOUT)
                self.received.clear()
        raise AssertionError("no answer to any of 20 frames")


def plain(command, address, *words, length=None):
    count = len(words) if length is None else length
    return struct.pack(f">BBL{len(words)}L", command, count & 0xFF, address // 4, *words)


async def wake(ctx):
    await ctx.tick().repeat(TIMEOUT + 1)


@pytest.mark.parametrize("enabled", [0, 1])
def test_plain_commands(enabled):
    """Bursts of both kinds; without permission, writes have no effect and reads still work."""
    board = Board()
    words = [0x01020304, 0xF0E0D0C0, 5]

    async def host(ctx):
        ctx.set(board.bridge.plain_writes, enabled)
        await wake(ctx)
        await board.send(ctx, plain(Plain.WRITE, 0x40, *words))
        await board.send(ctx, plain(Plain.READ, 0x40, length=3))
        expected = words if enabled else [0, 0, 0]
        assert await board.receive(ctx, 13) == struct.pack(">3L", *expected)
        await board.send(ctx, plain(Plain.WRITE_FIXED, REGISTERS + 8, *words))
        await board.send(ctx, plain(Plain.READ_FIXED, REGISTERS + 8, length=2))
        assert await board.receive(ctx, 9) == struct.pack(">2L", *[5 * enabled] * 2)

    board.run(host)
    assert board.written == [(2, word) for word in words] * enabled
    assert board.memory == (dict(zip([16, 17, 18], words, strict=True)) if enabled else {})


def test_length_0_is_256_words():
    board = Board()
    board.memory = {n: n * 0x01010101 for n in range(256)}

    async def host(ctx):
        await wake(ctx)
        await board.send(ctx, plain(Plain.READ, 0, length=256))
        assert await board.receive(ctx, 1025) == struct.pack(">256L", *board.memory.values())

    board.run(host)


def test_checked_commands():
    """Writes and reads of 1 and of 128 words; an address without register is an error."""
    board = Board()
    words = [board.rng.getrandbits(32) for _ in range(128)]

    async def host(ctx):
        await wake(ctx)
        for n, count in enumerate((1, 3, 128)):
            address = 0x400 * n
            frame = write_frame(address, words[:count], 2 * n)
            assert await board.ask(ctx, frame, 0, 2 * n) == ([], Status.OKAY)
            frame = read_frame(address, count, 2 * n + 1)
            assert await board.ask(ctx, frame, count, 2 * n + 1) == (words[:count], Status.OKAY)
        for address, status in ((REGISTERS, Status.OKAY), (REGISTERS + 4, Status.ERROR)):
            frame = write_frame(address, [7], 20 + address % 8)
            assert await board.ask(ctx, frame, 0, 20 + address % 8) == ([], status)
            assert (await board.ask(ctx, read_frame(address, 1, 30), 1, 30))[1] == status

    board.run(host)
    assert board.written == [(0, 7)]


def test_a_repeated_frame_writes_once():
    """The same sequence again is answered again, another one is another write."""
    board = Board()

    async def host(ctx):
        await wake(ctx)
        for sequence in (1, 1, 2, 2, 2, 1):
            frame = write_frame(REGISTERS, [sequence], sequence)
            assert await board.ask(ctx, frame, 0, sequence) == ([], Status.OKAY)
        for _ in range(2):  # an error stays one
            frame = write_frame(REGISTERS + 4, [0], 9)
            assert await board.ask(ctx, frame, 0, 9) == ([], Status.ERROR)

    board.run(host)
    assert board.written == [(0, 1), (0, 2), (0, 1)]


def test_every_single_fault_of_a_register_write():
    """Each byte of a frame dropped, repeated, or with two of its bits flipped in turn: the register
    gets the right value or none, and the line works again after a silence."""
    board = Board()
    frame = write_frame(REGISTERS, [0x12345678], 3)
    spoilt = [frame[:n] + frame[n + 1 :] for n in range(len(frame))]
    spoilt += [frame[: n + 1] + frame[n:] for n in range(len(frame))]
    spoilt += [
        frame[:n] + bytes([frame[n] ^ 1 << bit]) + frame[n + 1 :]
        for n in range(len(frame)) for bit in (n % 8, 7 - n % 8)
    ]  # fmt: skip
    done = []

    async def host(ctx):
        ctx.set(board.bridge.plain_writes, 0)
        await wake(ctx)
        for wrong in spoilt:
            before = len(board.written)
            await board.send(ctx, wrong)
            answer = await board.receive(ctx, 100)
            await wake(ctx)
            new = board.written[before:]
            assert new in ([], [(0, 0x12345678)])
            if answer == b"":
                assert not new
            done.append(bool(new))
            board.memory.clear()
            answer = await board.ask(ctx, read_frame(0, 1, 77), 1, 77)
            assert answer == ([0], Status.OKAY)

    board.run(host)
    assert len(done) == len(spoilt)
    assert sum(done) < 10  # a repeated byte that does no harm, such as the last one


@pytest.mark.parametrize("seed", range(2))
def test_random_faults(seed):
    """Blocks cross a line that spoils a byte in sixty, in both directions; nothing is lost."""
    board = Board(seed)
    rng = board.rng

    def spoil(byte):
        if rng.random() > 1 / 60:
            return [byte]
        return rng.choice([[], [byte, byte], [byte ^ 1 << rng.randrange(8)], [rng.randrange(256)]])

    wanted, read, writes = {}, {}, []

    async def host(ctx):
        await wake(ctx)
        board.spoil = spoil
        sequence = 0
        for n in range(15):
            count = rng.randrange(1, 9)
            address = rng.randrange(WORDS - count)
            words = [rng.getrandbits(32) for _ in range(count)]
            wanted.update(zip(range(address, address + count), words, strict=True))
            sequence += 1
            await board.ask(ctx, write_frame(4 * address, words, sequence), 0, sequence)
            sequence += 1
            got, _ = await board.ask(ctx, read_frame(4 * address, count, sequence), count, sequence)
            read.update(zip(range(address, address + count), got, strict=True))
            sequence += 1
            await board.ask(ctx, write_frame(REGISTERS + 8, [n], sequence), 0, sequence)
            writes.append((2, n))

    board.run(host)
    assert read == wanted
    assert {k: v for k, v in board.memory.items() if k in wanted} == wanted
    assert set(board.memory) == set(wanted)  # and nothing was written elsewhere
    assert board.written == writes


def test_reset_in_a_frame():
    """After a reset in the middle of a frame the rest of it is not taken for commands."""
    rest = bytes([Plain.WRITE, 1, 0, 0, 0, 0, 1, 2, 3, 4])
    board = Board()

    async def host(ctx):  # the simulation starts with the reset
        ctx.set(board.bridge.plain_writes, 1)
        await board.send(ctx, rest)
        await wake(ctx)
        await board.send(ctx, rest)

    board.run(host)
    assert board.memory == {0: 0x01020304}


def test_commands_differ():
    """No flip of four bits turns a checked command into a plain one."""
    for checked in Checked:
        for plain_command in (0, *Plain):
            assert (checked ^ plain_command).bit_count() >= 5


def test_address_width_is_checked():
    with pytest.raises(ValueError, match="address_width must be 11 to 29, not 30"):
        Bridge(address_width=30, timeout=10)
