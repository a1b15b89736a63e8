"""Trigger generators. One file each; this table is how they are found by name."""

from otoscope.registry import Table
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.tone import Tone

TRIGGERS: Table[Trigger] = Table("trigger", "otoscope.triggers", Tone)

__all__ = ["TRIGGERS", "Taxonomy", "Tone", "Trigger"]
