"""The performance model."""

from .estimate import Estimate, estimate

__all__ = ["Estimate", "estimate"]
