"""Times of all nodes of a machine, and of what they send each other."""

from collections.abc import Iterator, Sequence

from hw.dadiannao.assembler import decode
from hw.dadiannao.config import NodeConfig

from ...memory import MemorySettings
from ..program import MachineProgram
from .fetch import Fetch, FetchPort
from .network import NetworkModel
from .timing import NodeModel

__all__ = ["MachineModel"]


class MachineModel:
    """Times of programs on the nodes of a machine that start together, without the host's.

    Parameters
    ----------
    memory_latency : of the host's memory, from which programs are fetched

    Members
    -------
    nodes : models of the nodes
    network : of the mesh
    """

    def __init__(self, config: NodeConfig, *, memory_latency: int = MemorySettings().latency):
        self._config = config
        self._memory_latency = memory_latency
        self.network = NetworkModel(config)
        self.nodes = [
            NodeModel(config, number=number, network=self.network) for number in range(config.nodes)
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
        fetches = [Fetch(self._config, address, len(words)) for address, words in program.nodes]
        runs = [
            node.execute(decode(words), fetch)
            for node, fetch, (_, words) in zip(self.nodes, fetches, program.nodes, strict=True)
        ]
        port = FetchPort(fetches, self._memory_latency)
        self._advance([_first(*each) for each in zip(runs, program.begin, strict=True)], port)
        begins = [node.end for node in self.nodes]
        if together:
            begins = [max(begins)]
        for node, fetch in zip(self.nodes, fetches, strict=True):
            node.wait(max(begins) if together else 0)
            fetch.start(node.now)
        self._advance(runs, port)
        return max(node.end for node in self.nodes) - min(begins)

    def _advance(self, runs: Sequence[Iterator[bool]], port: FetchPort) -> None:
        """Go on with all nodes to the ends of ``runs``."""
        going = dict(enumerate(runs))
        waiting: set[int] = set()
        while going:
            ready = going.keys() - waiting
            # What happens first takes a link, or the port, first.
            number = min(ready, key=lambda n: (self.nodes[n].now, n), default=None)
            asked = port.request
            if asked is not None and (number is None or asked <= self.nodes[number].now):
                waiting.discard(port.serve())
                continue
            if number is None:
                raise ValueError(f"nodes {sorted(waiting)} wait for rows that nobody sends")
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
