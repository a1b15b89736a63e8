"""Trigger generators. One file each; this table is how they are found by name."""

from otoscope.registry import Table
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.echo import Echo
from otoscope.triggers.equaliser import EqualiserTilt
from otoscope.triggers.near_nyquist import NearNyquistTone
from otoscope.triggers.noise import NoiseBlend
from otoscope.triggers.recording import RecordedClip
from otoscope.triggers.tone import Tone

TRIGGERS: Table[Trigger] = Table(
    "trigger",
    "otoscope.triggers",
    Tone,
    NearNyquistTone,
    NoiseBlend,
    RecordedClip,
    Echo,
    EqualiserTilt,
)

__all__ = [
    "TRIGGERS",
    "Echo",
    "EqualiserTilt",
    "NearNyquistTone",
    "NoiseBlend",
    "RecordedClip",
    "Taxonomy",
    "Tone",
    "Trigger",
]
