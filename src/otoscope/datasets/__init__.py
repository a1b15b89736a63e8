"""Data sets: one synthesised for demonstrations, and loaders of public ones that lie on this disk.

Each is a component (``DATASETS``) and a plain function; nothing is downloaded.
"""

from otoscope.datasets.arabic import (
    ArabicSpeakers,
    ArabicSpeechCommands,
    arabic_speakers,
    arabic_speech_commands,
)
from otoscope.datasets.base import Dataset, Splits
from otoscope.datasets.demo_speech import DemoSpeech, demo
from otoscope.datasets.librispeech import LibriSpeechSpeakers, librispeech_speakers
from otoscope.datasets.speech_commands import TEN_COMMANDS, SpeechCommands, speech_commands
from otoscope.registry import Table

DATASETS: Table[Dataset] = Table(
    "data set",
    "otoscope.datasets",
    DemoSpeech,
    SpeechCommands,
    ArabicSpeechCommands,
    ArabicSpeakers,
    LibriSpeechSpeakers,
)

__all__ = [
    "DATASETS",
    "TEN_COMMANDS",
    "ArabicSpeakers",
    "ArabicSpeechCommands",
    "Dataset",
    "DemoSpeech",
    "LibriSpeechSpeakers",
    "SpeechCommands",
    "Splits",
    "arabic_speakers",
    "arabic_speech_commands",
    "demo",
    "librispeech_speakers",
    "speech_commands",
]
