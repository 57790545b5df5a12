"""A random network or program on the RTL of a core, with a random memory: one step of a soak."""

import numpy as np

from hw.diannao.config import Config
from hw.errors import UserError
from sim.verilator.target import VerilatorTarget
from tests.sim.random_networks import random_memory, random_network
from tests.sim.random_programs import compare
from tests.sim.rtl import check_rtl

__all__ = ["soak_network", "soak_program"]


def _target(config: Config, seed: int) -> VerilatorTarget:
    return VerilatorTarget(config, random_memory(np.random.default_rng(seed)))


def soak_network(config: Config, seed: int) -> str:
    """Every tensor equals golden, twice in a row; a network may also be refused."""
    target = _target(config, seed)
    graph = random_network(config, seed)
    try:
        for inputs in range(2):
            check_rtl(graph, target, inputs)
    except UserError:
        return "refused"
    finally:
        target.close()
    return "runs"


def soak_program(config: Config, seed: int) -> str:
    """The same in the interpreter: see ``compare``."""
    target = _target(config, seed)
    try:
        return compare(target, seed).value
    finally:
        target.close()
