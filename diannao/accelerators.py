"""The accelerators: what front end, session, generator and command line need to know of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compiler import bound, lowering
from compiler import dadiannao as dadiannao_compiler
from hw.dadiannao.config import CONFIGS as NODE_CONFIGS
from hw.dadiannao.config import NodeConfig
from hw.diannao.config import CONFIGS as CORE_CONFIGS
from hw.diannao.config import Config
from sim.dadiannao.isa import MachineIsaTarget
from sim.devices import MachineConfig
from sim.execution import Target
from sim.graph import Graph
from sim.isa import IsaTarget
from sim.memory import MemorySettings
from sim.program import Layer, Program

__all__ = ["ACCELERATORS", "Accelerator", "MachineConfig", "accelerator_of", "named_configs"]


@dataclass(frozen=True)
class Accelerator:
    """An accelerator of the family.

    Parameters
    ----------
    name : for people
    config : type of its configuration
    configs : the named configurations
    arithmetic : the core whose numbers, lanes and accumulators a configuration has
    lower : compiles a quantised graph without host nodes
    interpreter : makes the target ``isa``
    nfus : how many NFUs of ``arithmetic``'s size work at the same time
    multiplies : whether a configuration can multiply tensors by each other
    """

    name: str
    config: type
    configs: dict[str, Any]
    arithmetic: Callable[[Any], Config]
    lower: Callable[[Graph, Any, MemorySettings], Program]
    interpreter: Callable[[Any], Target]
    nfus: Callable[[Any], int]
    multiplies: Callable[[Any], bool]

    def limits(self, layer: Layer, config: Any, bandwidth: float) -> dict[str, float]:
        """Cycles that a layer takes at least, by resource; see ``compiler.bound.limits``."""
        cycles = bound.limits(layer, self.arithmetic(config), bandwidth)
        return {**cycles, "nfu": cycles["nfu"] / self.nfus(config)}


ACCELERATORS = (
    Accelerator(
        "DianNao", Config, CORE_CONFIGS, lambda config: config, lowering.lower, IsaTarget,
        lambda _: 1, lambda _: False,
    ),
    Accelerator(
        "DaDianNao", NodeConfig, NODE_CONFIGS, lambda config: config.core,
        dadiannao_compiler.lower, MachineIsaTarget, lambda config: config.tiles * config.nodes,
        lambda config: config.training,
    ),
)  # fmt: skip
"""All accelerators; the first one's configurations are the default."""


def accelerator_of(config: MachineConfig) -> Accelerator:
    """The accelerator that ``config`` describes."""
    return next(each for each in ACCELERATORS if isinstance(config, each.config))


def named_configs() -> dict[str, MachineConfig]:
    """The named configurations of all accelerators."""
    return {name: config for each in ACCELERATORS for name, config in each.configs.items()}
