"""From a quantised graph to the programs of a DaDianNao machine's nodes."""

from .lowering import lower

__all__ = ["lower"]
