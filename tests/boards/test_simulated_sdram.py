"""The ULX3S with its SDRAM in Verilator: the unmodified driver runs a network through its UART."""

from dataclasses import replace
from pathlib import Path

import pytest

from boards.catalog import find_board
from boards.memory.sdram import SdramMemory
from boards.memory.sdram_chip import SDR_32MB
from boards.memory.sdram_model import SdramModel
from boards.serial_link import BoardError, SerialLink
from boards.simulation import simulate_board
from diannao.session import Session

DIGITS = Path(__file__).parents[2] / "models" / "digits.onnx"
BOARD = find_board("ulx3s-85f")
BOARD = BOARD.changed(config=BOARD.config.replace(tn=2, ti=4))
"""With a small core, which is faster to compile; everything else is as it is built."""


def test_digits():
    """Every tensor equals golden, and no rule of the chip is broken while the network is loaded,
    runs and is read back, from power-up on."""
    simulation = simulate_board(BOARD)
    with Session(DIGITS, target=simulation.port) as session:
        session.run(None, session.random_inputs(1))
        report = session.report
    assert simulation.cycles > 20_000  # power-up
    assert report["checked_tensors"] == 8
    assert report["cycles"] > 22_800 * 2 / 2  # bytes of weights, two per cycle
    simulation.close()


class SlowChip(SdramMemory):
    """Its chip takes longer to open a row than the controller thinks."""

    def make_model(self):
        return SdramModel(chip=replace(SDR_32MB, rcd=60), clock=self.clock)


def test_a_broken_rule():
    """It ends the simulation; nobody can mistake what was read for data."""
    board = BOARD.changed(
        memory=lambda config, clock: SlowChip(
            chip=SDR_32MB, clock=clock, address_width=config.address_width, data_width=32
        ),
        memory_text="slow",
        config=BOARD.config.replace(ti=2),
    )
    simulation = simulate_board(board)
    link = SerialLink(simulation.port, patience=0.5)
    assert (link.memory, link.bandwidth) == (32 << 20, 2)
    link._patience = 0.001
    with pytest.raises(BoardError, match="no board answers"):
        link.write_words(0, [1, 2])
    link.close()
    with pytest.raises(RuntimeError, match=r"rule 2 of boards/models/sdram_chip\.v is broken"):
        simulation.close()
