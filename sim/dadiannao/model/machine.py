"""Times of all nodes of a machine, and of what they send each other."""

from collections.abc import Iterator, Sequence

from hw.dadiannao.assembler import decode
from hw.dadiannao.config import NodeConfig

from ..program import MachineProgram
from .network import NetworkModel
from .timing import Latencies, NodeModel

__all__ = ["MachineModel"]


class MachineModel:
    """Times of programs on the nodes of a machine that start together, without the host's.

    Members
    -------
    nodes : models of the nodes
    network : of the mesh
    """

    def __init__(self, config: NodeConfig, latencies: Latencies | None = None):
        self.network = NetworkModel(config)
        self.nodes = [
            NodeModel(config, latencies, number=number, network=self.network)
            for number in range(config.nodes)
        ]

    def run(self, program: MachineProgram, *, together: bool = False) -> int:
        """Cycles from the first layer's beginning to the end of the last one, in all nodes.

        Loads from the host's memory and stores are not timed.

        Parameters
        ----------
        together : all nodes begin in the same cycle; otherwise as they are told to

        Raises
        ------
        ValueError
            If nodes wait for rows that nobody sends.
        """
        runs = [
            node.execute(decode(words))
            for node, (_, words) in zip(self.nodes, program.nodes, strict=True)
        ]
        self._advance([_first(*each) for each in zip(runs, program.begin, strict=True)])
        begins = [node.end for node in self.nodes]
        if together:
            for node in self.nodes:
                node.now = max(begins)
            begins = [max(begins)]
        self._advance(runs)
        return max(node.end for node in self.nodes) - min(begins)

    def _advance(self, runs: Sequence[Iterator[bool]]) -> None:
        """Go on with all nodes to the ends of ``runs``."""
        going = dict(enumerate(runs))
        waiting: set[int] = set()
        while going:
            ready = going.keys() - waiting
            if not ready:
                raise ValueError(f"nodes {sorted(waiting)} wait for rows that nobody sends")
            # What happens first takes a link first.
            number = min(ready, key=lambda n: (self.nodes[n].now, n))
            try:
                done = next(going[number])
            except StopIteration:
                del going[number]
                continue
            if done:
                waiting.clear()
            else:
                waiting.add(number)


def _first(run: Iterator[bool], count: int) -> Iterator[bool]:
    """``run`` up to its instruction number ``count``."""
    while count:
        done = next(run)
        count -= done
        yield done
