"""The pitch of a voice, by autocorrelation of its lower harmonics."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

RANGE_HZ = (70.0, 400.0)
FRAME_S = 0.04
CORNER_HZ = 700.0
"""From here on harmonics count less and less: the low ones fit whole samples well enough."""

VOICED = 0.6
"""Least autocorrelation, at the pitch's period, of a frame that has a pitch."""

PER_OCTAVE = 0.1
"""What a period loses when it is twice as long, so that one is not taken for two."""

AUDIBLE_DB = -25.0
"""Frames softer than this, re the loudest, are left out."""


def median_pitch_hz(clip: np.ndarray, sample_rate: int) -> float | None:
    """The median pitch of a clip shaped (channel, time), or None when no frame has a pitch."""
    frame = round(FRAME_S * sample_rate)
    mono = clip.mean(axis=0)
    if len(mono) < frame or not mono.any():
        return None
    frames = np.lib.stride_tricks.sliding_window_view(mono, frame)[:: frame // 2]
    power = (frames**2).sum(axis=-1)
    frames = frames[power > power.max() * 10 ** (AUDIBLE_DB / 10)]
    likeness = _autocorrelation(frames, sample_rate)
    shortest, longest = (round(sample_rate / hz) for hz in reversed(RANGE_HZ))
    lags = np.arange(shortest, longest + 1)
    best = (likeness[:, lags] - PER_OCTAVE * np.log2(lags)).argmax(axis=-1) + shortest
    row = np.arange(len(frames))
    before, at, after = (likeness[row, best + step] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-12)
    exact = best + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    voiced = at > VOICED
    return float(sample_rate / np.median(exact[voiced])) if voiced.any() else None


def _autocorrelation(frames: np.ndarray, sample_rate: int) -> np.ndarray:
    """Of each frame, 1 at lag 0, without the fall that the window would bring."""
    count = frames.shape[-1]
    window = np.hanning(count)
    padded = next_fast_len(2 * count, real=True)

    hz = np.arange(padded // 2 + 1) * sample_rate / padded
    smooth = 1 / (1 + (hz / CORNER_HZ) ** 4)  # a steep cut through a harmonic would blur its period

    def correlated(rows: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
        found = irfft(np.abs(rfft(rows, padded)) ** 2 * weight, padded)[..., :count]
        return np.asarray(found / np.maximum(found[..., :1], np.finfo(float).tiny))

    centred = (frames - frames.mean(axis=-1, keepdims=True)) * window
    fall = np.maximum(correlated(window, 1.0), 1e-3)
    return np.asarray(correlated(centred, smooth) / fall)
