"""Simulation of a core's Verilog in Icarus Verilog, through cocotb: a second opinion, slow."""

from .target import IcarusTarget

__all__ = ["IcarusTarget"]
