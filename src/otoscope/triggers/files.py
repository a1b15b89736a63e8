"""Recordings that a trigger's ``path`` names, read once; errors carry the file's name."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from otoscope import audio
from otoscope.errors import UnreadableAudio


def changed_at(path: str) -> int:
    """When the file last changed, which makes a changed file another entry of a cache.

    Raises ``UnreadableAudio`` when there is no such file.
    """
    try:
        return Path(path).stat().st_mtime_ns
    except OSError as error:
        raise UnreadableAudio(f"{path}: cannot be opened ({error.strerror})") from None


def read(path: str, sample_rate: int) -> np.ndarray:
    """A recording, float32 shaped (time,), mono, resampled; ``UnreadableAudio`` names the file."""
    try:
        return audio.read(Path(path), sample_rate)[0]
    except UnreadableAudio as error:
        raise UnreadableAudio(f"{path}: {error}") from None


@lru_cache(maxsize=8)
def recorded(path: str, changed: int, sample_rate: int) -> np.ndarray:
    """A recording, float64 shaped (time,), mono, resampled; ``changed`` is its ``changed_at``.

    Raises ``UnreadableAudio`` when it cannot be used or is silent (under -60 dB).
    """
    samples = read(path, sample_rate)
    if audio.rms(samples) < audio.SILENCE_RMS:
        raise UnreadableAudio(f"{path}: is silent (under -60 dB); choose another file")
    return samples.astype(np.float64)
