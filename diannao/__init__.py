"""What a user touches: run a model on a generated core, generate the core, name configurations."""

from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError

from .configs import load_config
from .generate import generate
from .session import MismatchError, Output, Session
from .training import Training, train

__all__ = [
    "CONFIGS",
    "Config",
    "MismatchError",
    "Output",
    "Session",
    "Training",
    "UserError",
    "generate",
    "load_config",
    "train",
]
