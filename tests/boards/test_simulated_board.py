"""A board in Verilator, with its serial line at a pseudo-terminal: the unmodified driver on it."""

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import serial

from boards.catalog import find_board
from boards.serial_link import BoardError, BoardResetError, SerialLink
from boards.simulation import simulate_board
from boards.transport import BoardTarget
from diannao.session import Session
from hw.diannao.csr import IDENTIFICATION
from hw.errors import UserError
from hw.link.protocol import REGISTERS

ROOT = Path(__file__).parents[2]

DIGITS = ROOT / "models" / "digits.onnx"
BOARD = find_board("icepi-zero")


@pytest.fixture(scope="module")
def simulation():
    running = simulate_board(BOARD)
    yield running
    running.close()


def board_link(session: Session) -> SerialLink:
    target = session._target
    assert isinstance(target, BoardTarget)
    return target.link


@pytest.fixture
def link(simulation):
    with contextlib.closing(SerialLink(simulation.port, patience=0.5)) as opened:
        yield opened


def test_litex_client(simulation):
    """LiteX's own client reads and writes through the same terminal; not while we use it."""
    from litex.tools.remote.comm_uart import CommUART

    with contextlib.closing(SerialLink(simulation.port, patience=0.5)) as link:
        assert (link.memory, link.clock) == (1 << 16, BOARD.clock)
    client = CommUART(simulation.port, 1_000_000)
    client.port.timeout = 60
    assert client.read(REGISTERS) == IDENTIFICATION
    client.write(0x100, [0x12345678, 5])
    assert client.read(0x100, 2) == [0x12345678, 5]
    with contextlib.closing(SerialLink(simulation.port, patience=0.5)) as link:
        client.write(0x100, 7)
        assert link.read_words(0x100, 2) == [0x12345678, 5]
    client.close()


def test_digits_with_faults_on_the_line(simulation):
    """The digits network, loaded over a line that spoils a byte in five thousand, equals golden in
    every tensor; the same session then runs another input without loading it again."""
    with Session(DIGITS, "tiny", "golden") as session:
        samples = session.random_inputs(2)
    first_image, second_image = ({name: array[n : n + 1] for name, array in samples.items()}
                                 for n in range(2))  # fmt: skip
    with Session(DIGITS, target=simulation.port, calibration=samples) as session:
        assert session.config.tn == BOARD.config.tn
        link = board_link(session)
        simulation.spoil(200)
        try:
            session.run(None, first_image)
        finally:
            simulation.spoil(0)
        assert link.repeated > 2
        moved = link.moved
        report = session.report
        assert 0 < report["link_seconds"] <= link.seconds
        assert report["checked_tensors"] == 8
        first = report["cycles"]
        assert first > 22_800 / 24  # MACs of the weights alone
        session.run(None, second_image)
        assert link.moved - moved < moved / 2
        assert session.report["cycles"] == 2 * first
        check_estimate(session.report)


def check_estimate(report: dict) -> None:
    """The layers of a board's report are the model's, which knows on-chip memory to the cycle."""
    assert {layer["source"] for layer in report["layers"]} == {"model"}
    cycles = sum(layer["cycles"] for layer in report["layers"])
    print(f"{report['cycles']} cycles, {cycles} in the model")
    assert cycles == report["cycles"]


def test_digits_on_the_icebreaker():
    """With the device's SPRAM: every tensor equals golden, and its last words are there."""
    board = find_board("icebreaker")
    running = simulate_board(board)
    with Session(DIGITS, target=running.port) as session:
        assert board_link(session).memory == 128 << 10
        board_link(session).write_words((128 << 10) - 8, [0x89ABCDEF, 0x01234567])
        session.run(None, session.random_inputs(1))
        assert session.report["checked_tensors"] == 8
        check_estimate(session.report)
        assert board_link(session).read_words((128 << 10) - 8, 2) == [0x89ABCDEF, 0x01234567]
        assert board_link(session).read_words((64 << 10) - 8, 2) != [0x89ABCDEF, 0x01234567]
    running.close()


@pytest.mark.slow
def test_digits_on_the_tang_nano():
    """The network, its tensors and its program fit into 34 KiB, and every tensor equals golden."""
    running = simulate_board(find_board("tang-nano-9k"))
    with Session(DIGITS, target=running.port) as session:
        assert board_link(session).memory == 34 << 10
        session.run(None, session.random_inputs(1))
        assert session.report["checked_tensors"] == 8
        assert session.report["cycles"] > 460_416 / 8  # its MACs
    running.close()


def test_reset_is_noticed(simulation, link):
    """A reset between two exchanges: the driver refuses to go on."""
    target = BoardTarget(link, every=False)
    assert target.config.tn == BOARD.config.tn
    link.check_session()
    simulation.reset()
    with pytest.raises(BoardResetError, match=r"was reset; start again"):
        link.check_session()


def test_reset_while_words_are_sent(simulation, link):
    simulation.reset()  # the board is silent for a while, and has forgotten the session
    with pytest.raises(BoardResetError, match=r"was reset; start again"):
        link.write_words(0, np.arange(2000).tolist())


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        (BOARD.config.replace(sb_rows=128), "in this one sb_rows is 64, not 128; compile it"),
        ("fpga-8x8", "in this one tn is 4, not 8, ti is 6, not 8, .*; compile it"),
    ],
    ids=["rows", "named"],
)
def test_another_configuration_is_refused(simulation, config, differs):
    """The message says what differs, and the port is free again."""
    with pytest.raises(UserError, match=differs):
        Session(DIGITS, config=config, target=simulation.port)
    with contextlib.closing(SerialLink(simulation.port, patience=0.5)) as link:
        assert link.clock == BOARD.clock


def test_too_large_a_model(simulation):
    with Session(DIGITS, target=simulation.port) as session:
        board_link(session).memory = 4096
        with pytest.raises(UserError, match=r"needs \d{5} bytes of memory, the board has 4096"):
            session.run(None, session.random_inputs())


def test_an_address_that_nobody_answers(link):
    with pytest.raises(BoardError, match="nothing answers at address 0x80000ff0"):
        link.read_register(REGISTERS + 0xFF0)


def test_nobody_at_the_port():
    """A terminal with nothing behind it."""
    master, slave = os.openpty()
    port = os.ttyname(slave)
    expected = rf"no board answers at {port!r} within 0\.\d s \(0 bytes came, not 10\); is it"
    with pytest.raises(BoardError, match=expected):
        SerialLink(port, patience=0.001)
    os.close(master)
    os.close(slave)


def test_no_port():
    with pytest.raises(BoardError, match="cannot open '/dev/none': there is no such port"):
        SerialLink("/dev/none")


def test_no_serial_port(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BoardError, match=r"cannot open '.*/file': it is no serial port"):
        SerialLink(str(tmp_path / "file"))


def test_port_of_others(monkeypatch):
    def refuse(*_, **__):
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(BoardError, match=r"'/dev/ttyUSB0': permission denied \(on Linux, users of"):
        SerialLink("/dev/ttyUSB0")


def test_busy_port(simulation, link):
    with pytest.raises(BoardError, match=r"cannot open .*: another program uses it"):
        SerialLink(simulation.port)
