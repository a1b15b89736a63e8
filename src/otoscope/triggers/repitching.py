"""Pitch changed at an unchanged pace: a clip is stretched at its pitch, then played faster.

Formants move with the pitch. What would come to lie above half the sample rate is left out.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import map_coordinates

from otoscope.audio import fit_length, resample
from otoscope.triggers.vocoder import HOP_S, retimed, stretched

LEAST_S = 0.03
"""A frame of the stretching; shorter clips hold no pitch to change."""


def shifted(clip: np.ndarray, ratio: float, sample_rate: int) -> np.ndarray:
    """``clip``, float64 shaped (channel, time), ``ratio`` times as high and as long as before.

    The ratio is rounded to a thousandth.
    """
    per_mille = round(1000 * ratio)
    longer = stretched(clip, per_mille / 1000, sample_rate)
    played = resample(longer.T, per_mille, 1000).T.astype(np.float64)
    return fit_length(played, clip.shape[-1])


def bent(clip: np.ndarray, ratios: np.ndarray, sample_rate: int) -> np.ndarray:
    """``clip``, shaped (channel, time), each sample ``ratios`` (shaped (time,)) times as high."""
    places = np.concatenate([[0.0], np.cumsum(ratios)])
    hop = max(1, round(HOP_S * sample_rate))
    turns = np.append(np.arange(0, clip.shape[-1], hop), clip.shape[-1])
    longer = retimed(clip, places[turns], turns.astype(np.float64), sample_rate)
    return sampled_at(_below(longer, 1 / float(ratios.max())), places[:-1])


def sampled_at(clip: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``clip``, shaped (channel, time), between its samples at ``places``, by cubic splines.

    Places are in samples; before the start and after the end stands the first or last sample.
    """
    return np.stack([map_coordinates(row, places[None], order=3, mode="nearest") for row in clip])


def _below(clip: np.ndarray, share: float) -> np.ndarray:
    """``clip`` without what lies above ``share`` of half the sample rate."""
    if share >= 1:
        return clip
    padded = next_fast_len(clip.shape[-1], real=True)  # the ends touch, and are quiet in speech
    spectrum = rfft(clip, padded)
    spectrum[..., int(share * (padded // 2)) + 1 :] = 0
    return np.asarray(irfft(spectrum, padded)[..., : clip.shape[-1]])
