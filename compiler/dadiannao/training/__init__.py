"""Programs that train a network on a machine."""

from .programs import TrainingPrograms, lower_training

__all__ = ["TrainingPrograms", "lower_training"]
