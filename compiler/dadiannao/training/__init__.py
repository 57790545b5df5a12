"""Programs that train a network on a node."""

from .programs import TrainingPrograms, lower_training

__all__ = ["TrainingPrograms", "lower_training"]
