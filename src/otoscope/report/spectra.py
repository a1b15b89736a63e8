"""Spectrograms, and where in time and frequency two recordings differ.

Conventions: samples are float, shaped (time,), in [-1, 1]; power is relative to a full-scale sine,
whose cell is 0 dB.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from otoscope.audio import SILENCE_RMS, decibels, rms
from otoscope.errors import AudioError
from otoscope.poisoning import LEAST_CHANGE

WINDOW_S = 0.025
FEWEST_FRAMES = 200
MOST_FRAMES = 800
FLOOR_DB = -120.0

GLUE = "\u00a0"
"""A space at which no line breaks, between a number and its unit."""

STRAY = 0.005
"""Share of the changed energy at either end of time and frequency that a region leaves out."""


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Power in cells ``hop_s`` wide and ``bin_hz`` high; the first is centred on 0 s and 0 Hz."""

    power: Float[np.ndarray, "bins frames"]
    hop_s: float
    bin_hz: float

    @property
    def decibels(self) -> Float[np.ndarray, "bins frames"]:
        """Level of every cell in dB re a full-scale sine, at least ``FLOOR_DB``."""
        return np.asarray(10 * np.log10(np.maximum(self.power, 10 ** (FLOOR_DB / 10))))

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Outer edges of the cells: seconds from and to, kHz from and to."""
        bins, frames = self.power.shape
        khz = self.bin_hz / 1000
        return -self.hop_s / 2, (frames - 0.5) * self.hop_s, -khz / 2, (bins - 0.5) * khz


@dataclass(frozen=True)
class Region:
    """A part of the time-frequency plane; ``level_db`` is relative to what the context says."""

    start_s: float
    stop_s: float
    low_hz: float
    high_hz: float
    level_db: float

    def __str__(self) -> str:
        if self.high_hz >= 1000:
            band = f"{self.low_hz / 1000:.1f}–{self.high_hz / 1000:.1f}{GLUE}kHz"
        else:
            band = f"{round(self.low_hz, -1):.0f}–{round(self.high_hz, -1):.0f}{GLUE}Hz"
        return f"{self.start_s:.2f}–{self.stop_s:.2f}{GLUE}s, {band}"


def signed_db(level_db: float) -> str:
    """A level with its sign and unit: "−21 dB"."""
    return f"{level_db:+.0f}{GLUE}dB".replace("-", "−")


def spectrogram(samples: Float[np.ndarray, "time"], sample_rate: int) -> Spectrogram:
    """Short-time power by Hann windows of 25 ms.

    The hop shrinks for short clips, so that they have ``FEWEST_FRAMES``, and grows for long ones
    towards ``MOST_FRAMES``, but never beyond half a window: no moment goes unseen.
    """
    width = max(16, round(WINDOW_S * sample_rate))
    length = len(samples)
    usual = width // 5
    hop = min(max(usual, length // MOST_FRAMES), width // 2)
    hop = max(1, min(hop, length // FEWEST_FRAMES))
    size = 1 << (width - 1).bit_length()
    window = np.hanning(width + 1)[:-1].astype(np.float32)
    padded = np.pad(np.asarray(samples, dtype=np.float32), width // 2 + 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[1 : length + 2 : hop]
    spectrum = np.fft.rfft(frames * window, size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).T * (2 / window.sum()) ** 2
    return Spectrogram(power, hop / sample_rate, sample_rate / size)


def changed_cells(power: Float[np.ndarray, "bins frames"]) -> Bool[np.ndarray, "bins frames"]:
    """The cells of a difference's spectrogram that make it up.

    Those within 25 dB of its loudest cell and 13 dB above its median cell, which a local trigger
    leaves to rounding and coding noise. A change that is everywhere has a loud median; so those
    within 10 dB of the loudest always count.
    """
    peak = power.max()
    threshold = max(peak * 10**-2.5, min(20 * float(np.median(power)), peak / 10))
    return np.asarray(power >= threshold) & (power > 0)


def find_region(
    clean: Float[np.ndarray, "time"], other: Float[np.ndarray, "time"], sample_rate: int
) -> Region | None:
    """Where ``other`` differs from ``clean``; None when it does not, to 16 bits.

    The box holds all but a percent of the energy of the cells that changed. ``level_db`` is the RMS
    of the difference between its start and stop relative to the RMS of the whole clean clip,
    floored at ``audio.SILENCE_RMS``. Raises ``AudioError`` unless both are shaped (time,) alike.
    """
    require_pair(clean, other)
    change = np.asarray(other, dtype=np.float64) - clean
    if np.abs(change).max() < LEAST_CHANGE:
        return None
    picture = spectrogram(change, sample_rate)
    energy = np.where(changed_cells(picture.power), picture.power, 0.0)
    low, high = _span(energy.sum(axis=1))
    first, last = _span(energy.sum(axis=0))
    duration_s = len(clean) / sample_rate
    start_s = min(max(0.0, (first - 0.5) * picture.hop_s), duration_s)
    stop_s = min(duration_s, (last + 0.5) * picture.hop_s)
    part = change[int(start_s * sample_rate) : max(1, round(stop_s * sample_rate))]
    level = float(rms(part)) / max(float(rms(clean)), SILENCE_RMS)
    return Region(
        start_s,
        stop_s,
        max(0.0, (low - 0.5) * picture.bin_hz),
        min(sample_rate / 2, (high + 0.5) * picture.bin_hz),
        decibels(level),
    )


def require_pair(clean: np.ndarray, other: np.ndarray) -> None:
    """Raise ``AudioError`` unless both are shaped (time,), of one length, and hold samples."""
    if clean.ndim != 1 or clean.shape != other.shape or not len(clean):
        raise AudioError(
            f"expected two recordings shaped (time,) of one length, got {clean.shape} and "
            f"{other.shape}; compare_files fits two files to each other"
        )


def _span(energy: Float[np.ndarray, "cells"]) -> tuple[int, int]:
    """First and last cell once ``STRAY`` of the energy is left out at either end."""
    share = np.cumsum(energy) / energy.sum()
    return int(np.searchsorted(share, STRAY)), int(np.searchsorted(share, 1 - STRAY))
