"""What can be behind a driver or in a simulator: DianNao cores and DaDianNao machines."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hw.bus.registers import RegisterMap
from hw.dadiannao import csr as node_csr
from hw.dadiannao.config import NodeConfig
from hw.dadiannao.edram import MODEL
from hw.dadiannao.isa import ErrorCode as NodeErrorCode
from hw.diannao import csr as core_csr
from hw.diannao.config import Config
from hw.diannao.isa import ErrorCode

__all__ = ["DEVICES", "Device", "MachineConfig", "device_of"]

MachineConfig = Config | NodeConfig
"""Configuration of any device."""


def _core(config: Any) -> Any:
    from hw.diannao.core import Core  # elaboration only if it is needed

    return Core(config=config)


def _machine(config: Any) -> Any:
    from hw.dadiannao.machine import Machine

    return Machine(config=config)


def _node_page() -> str:
    table = node_csr.register_map(NodeConfig()).markdown()
    return f"""# Registers of a DaDianNao node

Generated from `hw/dadiannao/csr.py`. Those of node n begin at n times 4096. What is said of the
DianNao core's registers holds here, too.

{table}"""


def _node_models(config: Any) -> list[Path]:
    return [MODEL] if config.memory == "macro" else []


def _node_parts(config: Any) -> tuple[str, ...]:
    return ("tile",) if config.tiles * config.nodes > 1 else ()


@dataclass(frozen=True)
class Device:
    """A kind of device.

    Parameters
    ----------
    name : for people
    config : type of its configuration
    component : makes the top component of a configuration
    identification, version : of the register ID, and of registers and instruction set
    registers : the register map of a configuration
    read_config : the configuration behind a function that reads a register
    registers_page : the text of their documentation
    counters : names of the 64-bit counters
    errors : what the register ERROR says
    models : Verilog files that a simulation of a configuration needs beside the generated one
    parts : modules of which a configuration has many instances, for ``sim.verilator.build``
    """

    name: str
    config: type
    component: Callable[[Any], Any]
    identification: int
    version: tuple[int, int]
    registers: Callable[[Any], RegisterMap]
    read_config: Callable[[Callable[[int], int]], Any]
    registers_page: Callable[[], str]
    counters: tuple[str, ...]
    errors: type[Enum]
    models: Callable[[Any], list[Path]]
    parts: Callable[[Any], tuple[str, ...]]


DEVICES = (
    Device(
        "DianNao core", Config, _core, core_csr.IDENTIFICATION, core_csr.VERSION,
        core_csr.register_map, core_csr.read_config, core_csr.markdown, tuple(core_csr.COUNTERS),
        ErrorCode, lambda _: [], lambda _: (),
    ),
    Device(
        "DaDianNao machine", NodeConfig, _machine, node_csr.IDENTIFICATION, node_csr.VERSION,
        node_csr.register_map, node_csr.read_config, _node_page, tuple(node_csr.COUNTERS),
        NodeErrorCode, _node_models, _node_parts,
    ),
)  # fmt: skip


def device_of(config: MachineConfig) -> Device:
    """The kind of device that ``config`` describes."""
    return next(device for device in DEVICES if isinstance(config, device.config))
