"""How like are two sounds: a trigger that was found, and the one that was planted?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import correlate, stft

from otoscope.networks.log_mel import fft_size, mel_filters

BANDS = 40
HOPS = 8
"""A window has so many, so that a delay between two hops costs little."""

Samples = Float[np.ndarray, "time"]


@dataclass(frozen=True)
class Likeness:
    """Two measures from 0 (nothing in common) to 1; neither heeds level, sign or delay.

    ``correlation``: the largest absolute cross-correlation of the samples over all delays, as a
    share of what equal sounds have. Sounds whose phases are unrelated have little.
    ``intersection``: of their mel spectrograms of power, each scaled to a sum of 1, what both have
    (histogram intersection, Swain and Ballard 1991), at the delay where that is most. Sounds with
    their energy in the same bands at the same times have much, whatever their phases; a tone a
    band away, or a burst beside a long noise, has little.
    """

    correlation: float
    intersection: float


def likeness(one: Samples, other: Samples, sample_rate: int) -> Likeness:
    """Compare two sounds shaped (time,), of any length; silence is like nothing."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    scale = np.sqrt(np.square(a).sum() * np.square(b).sum())
    if not scale > 0:
        return Likeness(0.0, 0.0)
    correlation = min(1.0, float(np.abs(correlate(a, b)).max() / scale))
    return Likeness(correlation, _intersection(_shares(a, sample_rate), _shares(b, sample_rate)))


def _shares(samples: Samples, sample_rate: int) -> Float[np.ndarray, "bands frames"]:
    """Where the sound's energy lies, by mel band and frame; the sum is 1."""
    size = fft_size(sample_rate)
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    _, _, spectrum = stft(padded, nperseg=size, noverlap=size - size // HOPS)
    filters = mel_filters(sample_rate, size, BANDS)
    filters /= np.maximum(filters.sum(axis=0), 1e-30)  # every line's power counts once
    power = filters @ np.square(np.abs(spectrum))
    return np.asarray(power / max(power.sum(), 1e-30))


def _intersection(
    one: Float[np.ndarray, "bands frames"], other: Float[np.ndarray, "bands others"]
) -> float:
    """The largest over the delays, in frames."""
    still = one.shape[1] - 1
    framed = np.pad(other, ((0, 0), (still, still)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, one.shape[1], axis=1)
    return float(max(np.minimum(one, windows[:, at]).sum() for at in range(windows.shape[1])))
