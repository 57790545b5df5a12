"""Energy of a run from what it did: counted events times their costs."""

from .events import add_energy
from .table import TABLES, CostTable, load_costs, measured_costs

__all__ = ["TABLES", "CostTable", "add_energy", "load_costs", "measured_costs"]
