"""Trigger generators. One file each; this table is how they are found by name."""

from otoscope.registry import Table
from otoscope.triggers.adaptive_blend import AdaptiveBlend
from otoscope.triggers.any_of import AnyOf
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.echo import Echo
from otoscope.triggers.equaliser import EqualiserTilt
from otoscope.triggers.near_nyquist import NearNyquistTone
from otoscope.triggers.noise import NoiseBlend
from otoscope.triggers.recording import RecordedClip
from otoscope.triggers.stack import Stack
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
    Stack,
    AnyOf,
    AdaptiveBlend,
)

__all__ = [
    "TRIGGERS",
    "AdaptiveBlend",
    "AnyOf",
    "Echo",
    "EqualiserTilt",
    "NearNyquistTone",
    "NoiseBlend",
    "RecordedClip",
    "Stack",
    "Taxonomy",
    "Tone",
    "Trigger",
]
