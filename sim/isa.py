"""The interpreter as a target."""

import numpy as np

from hw.diannao.config import Config

from .execution import Activity, Execution
from .interpreter import Interpreter
from .program import Program

__all__ = ["IsaTarget"]


class IsaTarget:
    """Executes programs in the interpreter (``sim.interpreter``)."""

    def __init__(self, config: Config):
        self._config = config

    def run(self, program: Program, inputs: dict[str, np.ndarray]) -> Execution:
        """Execute ``program``; see ``sim.execution.Target``."""
        memory = program.memory()
        for name, layout in program.inputs.items():
            layout.write(memory, inputs[name])
        interpreter = Interpreter(self._config, memory)
        statistics = interpreter.run(program.address, 8 * len(program.words))
        layers = {
            tag: Activity(
                cycles=layer.active + layer.parameters,
                active=layer.active,
                bytes={**layer.bytes, "cp": 0},
            )
            for tag, layer in statistics.layers.items()
        }
        return Execution(
            tensors={name: layout.read(memory) for name, layout in program.tensors.items()},
            source="isa", cycles=None, layers=layers, bytes=statistics.bytes,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held."""
