"""Short-time spectra that can be changed and turned back into sound.

Frames last about 32 ms, overlap by half and carry the square root of a Hann window both ways, so
that spectra which nobody changed give back the sound they came from.
"""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter1d

from otoscope.audio import level_rms

HOP_S = 0.016
SMOOTHED_BINS = 5
"""About 150 Hz: wide enough to bridge the harmonics of most voices."""

FLOOR_DB = -40.0
"""White noise at this level, re the clip, lies under its spectrum, so that pauses have one, too."""


def hop_samples(sample_rate: int) -> int:
    """Half a frame."""
    return int(next_fast_len(max(1, round(HOP_S * sample_rate)), real=True))


def analysed(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Spectra shaped (..., frame, frequency) of samples shaped (..., time), as precise as these."""
    hop, time = hop_samples(sample_rate), samples.shape[-1]
    padded = np.zeros((*samples.shape[:-1], 2 + -(-time // hop), hop), samples.dtype)
    padded.reshape(*samples.shape[:-1], -1)[..., hop : hop + time] = samples
    frames = np.concatenate([padded[..., :-1, :], padded[..., 1:, :]], axis=-1)
    return np.asarray(rfft(frames * _window(hop).astype(samples.dtype)))


def resynthesised(spectra: np.ndarray, count: int, sample_rate: int) -> np.ndarray:
    """``count`` samples, shaped (..., time), of spectra as ``analysed`` gives them."""
    hop = hop_samples(sample_rate)
    frames = irfft(spectra, 2 * hop) * _window(hop)
    out = np.zeros((*frames.shape[:-2], frames.shape[-2] + 1, hop))
    out[..., :-1, :] += frames[..., :hop]
    out[..., 1:, :] += frames[..., hop:]
    return out.reshape(*out.shape[:-2], -1)[..., hop : hop + count]


def envelope(spectra: np.ndarray) -> np.ndarray:
    """The power in each frame, smoothed over neighbouring frequencies; shaped as ``spectra``."""
    power = spectra.real**2 + spectra.imag**2
    return np.asarray(uniform_filter1d(power, SMOOTHED_BINS, axis=-1, mode="nearest"))


def floor_power(clip: np.ndarray, sample_rate: int) -> float:
    """The power of the floor at each frequency; above 0 even for digital silence."""
    window_energy = hop_samples(sample_rate)
    return level_rms(clip, FLOOR_DB) ** 2 * window_energy


@lru_cache(maxsize=8)
def _window(hop: int) -> np.ndarray:
    return np.asarray(np.sin(np.pi * np.arange(2 * hop) / (2 * hop)))
