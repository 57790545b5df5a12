"""Simulation of a core's Verilog in Verilator, with its external memory shared with numpy."""

from .build import build, core_verilog
from .model import Model

__all__ = ["Model", "build", "core_verilog"]
