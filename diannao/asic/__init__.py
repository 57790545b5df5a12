"""ASIC numbers of a design: area, critical path and power in a standard-cell library."""

from .synth import synthesise

__all__ = ["synthesise"]
