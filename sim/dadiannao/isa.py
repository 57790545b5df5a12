"""The interpreter of machines as a target."""

import numpy as np

from hw.dadiannao.config import NodeConfig

from ..execution import Activity, Execution
from ..program import Program
from .interpreter import Machine

__all__ = ["MachineIsaTarget"]


class MachineIsaTarget:
    """Executes programs in the interpreter of DaDianNao machines.

    Parameters
    ----------
    config : the machine
    resumes : what is in the nodes' memories stays there from program to program, as in hardware;
        without, a program that relies on that is an error
    """

    def __init__(self, config: NodeConfig, *, resumes: bool = False):
        self._config = config
        self._resumes = resumes
        self._machine: Machine | None = None

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program``; see ``sim.execution.Target``."""
        memory = program.memory()
        for name, layout in program.inputs.items():
            layout.write(memory, inputs[name])
        machine = Machine(self._config, memory, self._machine)
        self._machine = machine if self._resumes else None
        done = machine.run([(address, 8 * len(words)) for address, words in program.nodes])
        layers: dict[int, Activity] = {}
        for node in done.nodes:
            for tag, work in node.items():
                layer = layers.setdefault(tag, Activity())
                # Nodes work at the same time: the one that does most counts.
                layer.cycles = max(layer.cycles, work.active + work.parameters)
                layer.active = max(layer.active, work.active)
                for stream, count in work.bytes.items():
                    layer.bytes[stream] += count
        return Execution(
            tensors={name: layout.read(memory) for name, layout in program.tensors.items()},
            source="isa", cycles=None, layers=layers, bytes=done.bytes,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""
