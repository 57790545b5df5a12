"""Performance model of a DaDianNao machine: when every row and every step of a program happens.

Rows of the fat tree and steps of the tiles are computed a slot at a time, from the times of what
they wait for; see ``timing``. ``Latencies`` are the depths of the pipelines between the units.
``network`` has the times of words in the mesh, ``machine`` all nodes.
"""

from .machine import MachineModel
from .network import NetworkModel
from .timing import Latencies, NodeModel

__all__ = ["Latencies", "MachineModel", "NetworkModel", "NodeModel"]
