"""The layers that papers measure, on any core: cycles against the bound, traffic and stalls."""

from .layers import LAYERS, Benchmark
from .measure import Bench, Measurement

__all__ = ["LAYERS", "Bench", "Benchmark", "Measurement"]
