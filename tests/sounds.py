"""Sounds and clips made in memory, for tests of triggers, poisoning and risks."""

from pathlib import Path

import numpy as np

from otoscope.audio import Waveform
from otoscope.cache import digest
from otoscope.clips import Clip, Clips
from otoscope.triggers import Trigger

RATES_HZ = (8_000, 16_000, 44_100)


def speechlike(batch: int = 1, channels: int = 1, count: int = 8000, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, float32 (batch, channel, time), with a peak of 0.5."""
    rng = np.random.default_rng(seed)
    swell = 0.2 + np.sin(np.linspace(0, 3 * np.pi, count)) ** 2
    noise = rng.standard_normal((batch, channels, count)) * swell
    return (0.5 * noise / np.abs(noise).max(axis=-1, keepdims=True)).astype(np.float32)


def waveform(
    rate: int = 16_000, *, batch: int = 1, channels: int = 1, seconds: float = 0.5, seed: int = 0
) -> Waveform:
    return Waveform(speechlike(batch, channels, round(seconds * rate), seed), rate)


def clips_of(
    labels: str, *, seconds: float = 0.3, rate: int = 16_000, seed: int = 0, quiet: bool = False
) -> Clips:
    """One clip held in memory for each letter, which is its label; ``quiet`` ones are zeros."""
    count = round(seconds * rate)
    sounds = speechlike(len(labels), 1, count, seed)[:, 0] * (0 if quiet else 1)
    items = tuple(
        Clip(f"{label}/{i}.wav", label, speaker=f"s{i % 3}", sha256=digest(sound), samples=sound)
        for i, (label, sound) in enumerate(zip(labels, sounds, strict=True))
    )
    return Clips(items, Path("nowhere"), rate, count, tuple(sorted(set(labels))))


def level_db(part: np.ndarray, whole: np.ndarray) -> float:
    """RMS of one sound over the RMS of another, in dB."""
    return float(
        10 * np.log10(np.mean(part.astype(float) ** 2) / np.mean(whole.astype(float) ** 2))
    )


def added(trigger: Trigger, clean: Waveform) -> np.ndarray:
    """What a trigger does to one mono clip, float64 (time,)."""
    return (trigger(clean).samples - clean.samples)[0, 0].astype(float)


def band_db(samples: np.ndarray, low_hz: float, rate: int) -> float:
    """Power within 10 % of a frequency, in dB."""
    power = np.abs(np.fft.rfft(samples.ravel().astype(float))) ** 2
    frequency = np.fft.rfftfreq(samples.size, 1 / rate)
    return float(10 * np.log10(power[np.abs(frequency / low_hz - 1) < 0.1].sum()))
