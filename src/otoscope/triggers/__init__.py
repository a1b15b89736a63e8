"""Trigger generators. One file each; this table is how they are found by name."""

from otoscope.registry import Table
from otoscope.triggers.adaptive_blend import AdaptiveBlend
from otoscope.triggers.ambient import AmbientSound
from otoscope.triggers.any_of import AnyOf
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.chirp import Chirp
from otoscope.triggers.codec import CodecResidue
from otoscope.triggers.composite import Composite
from otoscope.triggers.crafted import CraftedTrigger
from otoscope.triggers.drift import Drift
from otoscope.triggers.echo import Echo
from otoscope.triggers.echo_hiding import EchoHiding
from otoscope.triggers.equaliser import EqualiserTilt
from otoscope.triggers.flowmur import FlowMur
from otoscope.triggers.formant import FormantShift
from otoscope.triggers.hum import Hum
from otoscope.triggers.input_aware import InputAware
from otoscope.triggers.lsb import LeastSignificantBits
from otoscope.triggers.multi_tone import MultiTone
from otoscope.triggers.near_nyquist import NearNyquistTone
from otoscope.triggers.neuron import NeuronTrigger
from otoscope.triggers.noise import NoiseBlend
from otoscope.triggers.padding import Padding
from otoscope.triggers.phase import PhaseInjection
from otoscope.triggers.phase_coding import PhaseCoding
from otoscope.triggers.pitch import PitchBoost
from otoscope.triggers.prosody import ProsodyShift
from otoscope.triggers.recording import RecordedClip
from otoscope.triggers.resampling import ResamplingResidue
from otoscope.triggers.reverb import RoomReverb
from otoscope.triggers.rhythm import RhythmTransform
from otoscope.triggers.silence import SilenceInsertion
from otoscope.triggers.speed import SpeedChange
from otoscope.triggers.spread_spectrum import SpreadSpectrum
from otoscope.triggers.stack import Stack
from otoscope.triggers.stego_search import StegoSearch
from otoscope.triggers.style import Style
from otoscope.triggers.tone import Tone
from otoscope.triggers.universal import UniversalPerturbation
from otoscope.triggers.warp import TimeWarp

TRIGGERS: Table[Trigger] = Table(
    "trigger",
    "otoscope.triggers",
    Tone,
    Chirp,
    Drift,
    Hum,
    MultiTone,
    NearNyquistTone,
    NoiseBlend,
    RecordedClip,
    AmbientSound,
    Echo,
    EqualiserTilt,
    LeastSignificantBits,
    EchoHiding,
    PhaseCoding,
    SpreadSpectrum,
    StegoSearch,
    Padding,
    SilenceInsertion,
    CodecResidue,
    ResamplingResidue,
    SpeedChange,
    RhythmTransform,
    PhaseInjection,
    Style,
    RoomReverb,
    PitchBoost,
    FormantShift,
    TimeWarp,
    ProsodyShift,
    Stack,
    AnyOf,
    AdaptiveBlend,
    FlowMur,
    UniversalPerturbation,
    NeuronTrigger,
    InputAware,
    Composite,
)

__all__ = [
    "TRIGGERS",
    "AdaptiveBlend",
    "AmbientSound",
    "AnyOf",
    "Chirp",
    "CodecResidue",
    "Composite",
    "CraftedTrigger",
    "Drift",
    "Echo",
    "EchoHiding",
    "EqualiserTilt",
    "FlowMur",
    "FormantShift",
    "Hum",
    "InputAware",
    "LeastSignificantBits",
    "MultiTone",
    "NearNyquistTone",
    "NeuronTrigger",
    "NoiseBlend",
    "Padding",
    "PhaseCoding",
    "PhaseInjection",
    "PitchBoost",
    "ProsodyShift",
    "RecordedClip",
    "ResamplingResidue",
    "RhythmTransform",
    "RoomReverb",
    "SilenceInsertion",
    "SpeedChange",
    "SpreadSpectrum",
    "Stack",
    "StegoSearch",
    "Style",
    "Taxonomy",
    "TimeWarp",
    "Tone",
    "Trigger",
    "UniversalPerturbation",
]
