"""Trains on a machine: in the interpreter or in the Verilog of a node."""

import numpy as np

from compiler.dadiannao.training import lower_training
from hw.dadiannao.config import NodeConfig
from sim.dadiannao.isa import MachineIsaTarget
from sim.program import Program
from sim.training.network import Linear, Network

__all__ = ["MachineEngine"]


class MachineEngine:
    """As ``sim.training.golden.Golden``, on a machine.

    Parameters
    ----------
    network : what is trained; ``store`` puts the machine's weights into it
    config : the machine
    batch : images at a time
    shift : the learning rate is two to the power of minus this
    target : "isa" or "verilator"
    """

    def __init__(self, network: Network, config: NodeConfig, batch: int, shift: int, target: str):
        self._network = network
        self._programs = lower_training(network, config, batch, shift)
        self._shift = shift
        self.cycles: int | None = None
        if target == "isa":
            self._target = MachineIsaTarget(config, resumes=True)
        else:
            from sim.verilator.target import VerilatorTarget

            self._target = VerilatorTarget(config)
        self._run(self._programs.setup)
        self.cycles = None

    def _run(self, program: Program, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        done = self._target.run(program, inputs)
        if done.cycles is not None:
            self.cycles = (self.cycles or 0) + done.cycles
        return done.tensors

    def forward(self, x: np.ndarray) -> np.ndarray:
        """As that of Golden."""
        return self._run(self._programs.forward, x=x)["y"]

    def backward(self, delta: np.ndarray, shift: int) -> None:
        """As that of Golden; ``shift`` must be the one that the machine was made for."""
        if shift != self._shift:
            raise ValueError(f"shift must be {self._shift}, not {shift}")
        self._run(self._programs.backward, delta=delta)

    def store(self) -> None:
        """Read the weights back into the network."""
        before = self.cycles
        found = self._programs.synapses(self._run(self._programs.weights))
        self.cycles = before
        layers = [layer for layer in self._network.layers if isinstance(layer, Linear)]
        for layer, (weight, bias) in zip(layers, found, strict=True):
            layer.weight = weight.reshape(layer.weight.shape).copy()
            layer.bias = bias.copy()

    def close(self) -> None:
        """Free the simulator."""
        self._target.close()
