"""What the driver says of a machine that stops."""

import numpy as np
import pytest

from compiler.dadiannao import lower
from hw.dadiannao.config import CONFIGS
from hw.dadiannao.csr import register_map
from hw.dadiannao.isa import ErrorCode
from sim.driver import CoreError, Driver
from tests.compiler.networks import Network
from tests.sim.fake_device import FakeDevice, reset_values

CONFIG = CONFIGS["dadiannao-tiny-4"]


class FakeMachine(FakeDevice):
    """Registers with their reset values, and some memory; a program ends at once.

    ``changes`` are registers by node and name; one that is written keeps what it says.
    """

    def __init__(self, changes: dict[tuple[int, str], int]):
        registers = list(register_map(CONFIG))
        offsets = {each.name: each.offset for each in registers}
        super().__init__(
            {
                node << 12 | offset: value
                for node in range(CONFIG.nodes)
                for offset, value in reset_values(registers).items()
            },
            np.zeros(1 << 20, dtype=np.uint8),
        )
        for (node, name), value in changes.items():
            self.registers[node << 12 | offsets[name]] = value

    def write_register(self, offset, value):
        pass


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (0, ""),
        (1, "; a word waits on the link from node 0 to 1"),
        (2, "; a word waits on the link from node 0 to 2"),
        (len(CONFIG.mesh.links), "; a word waits on the link from node 3 to 1"),
    ],
)
def test_a_watchdog_names_node_and_link(link, words):
    failed = register_map(CONFIG)["STATUS"].pack(error=1)
    machine = FakeMachine(
        {
            (0, "LINK_WAITING"): link,
            (2, "STATUS"): failed,
            (2, "ERROR"): ErrorCode.WATCHDOG.value,
            (2, "ERROR_PC"): 8,
        }
    )
    driver = Driver(machine)
    assert driver.config.nodes == 4
    net = Network(CONFIG.core, 0)
    driver.load(lower(net.graph(net.gemm(net.input(1, 8), 4)), CONFIG))
    with pytest.raises(CoreError) as found:
        driver.run({"t0": np.zeros((1, 8), dtype=np.int64)})
    where = "byte 0x8 of the program of node 2, layer 'gemm t1'"
    assert str(found.value) == f"the core stopped with WATCHDOG at {where}{words}"
