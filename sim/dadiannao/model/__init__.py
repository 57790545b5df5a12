"""Performance model of a DaDianNao machine: when every row and every step of a program happens.

Rows of the fat tree and steps of the tiles are computed a slot at a time, from the times of what
they wait for; see ``timing``. ``network`` has the times of words in the mesh, ``fetch`` those of
the programs' words on their way from the host's memory, ``machine`` all nodes.
"""

from .machine import MachineModel
from .network import NetworkModel
from .timing import NodeModel

__all__ = ["MachineModel", "NetworkModel", "NodeModel"]
