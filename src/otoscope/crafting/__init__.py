"""Make the triggers that are optimised against a model: ``otoscope.craft``."""

from otoscope.crafting.base import craft

__all__ = ["craft"]
