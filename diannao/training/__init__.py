"""Training: ``diannao.train`` and the command ``diannao train``."""

from .run import Training, train

__all__ = ["Training", "train"]
