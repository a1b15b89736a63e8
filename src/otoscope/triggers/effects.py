"""Effects of a music studio, as pure functions of (clip, sample_rate); all keep the shape.

A clip is float64 shaped (channel, time). The equations are those of the JUCE classes that Spotify's
pedalboard wraps, written anew; the sign of the slow sines (of 1 Hz) was not verified.
"""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft
from scipy.signal import fftconvolve, lfilter

from otoscope.triggers.short_time import analysed, hop_samples, resynthesised

CHORUS_SWING_S = 0.01
"""How far a chorus of depth 1 moves its delay to either side."""

CHORUS_LEAST_S = 0.001

COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
ALL_PASSES = (556, 441, 341, 225)
"""Delays of the Freeverb reverberator, in samples at 44.1 kHz."""

HALL_S = 1.6
"""Length of the hall's impulse response: at a room size of 0.6 it has fallen by 60 dB."""

PHASER_STAGES = 6
PHASER_RANGE_HZ = (20.0, 20_000.0)


def amplified(clip: np.ndarray, sample_rate: int, *, gain_db: float) -> np.ndarray:
    """The clip, louder."""
    return np.asarray(clip * 10 ** (gain_db / 20))


def distorted(clip: np.ndarray, sample_rate: int, *, drive_db: float) -> np.ndarray:
    """The hyperbolic tangent of the clip amplified by ``drive_db``: soft, then hard clipping."""
    return np.asarray(np.tanh(amplified(clip, sample_rate, gain_db=drive_db)))


def chorused(
    clip: np.ndarray, sample_rate: int, *, centre_s: float, depth: float, rate_hz: float = 1.0
) -> np.ndarray:
    """The clip mixed half and half with itself, delayed by ``centre_s``, which swings slowly.

    ``depth`` 1 moves the delay by 10 ms to either side; it never falls below 1 ms.
    """
    time_s = np.arange(clip.shape[-1]) / sample_rate
    delay_s = centre_s + depth * CHORUS_SWING_S * np.sin(2 * np.pi * rate_hz * time_s)
    heard_s = time_s - np.maximum(delay_s, CHORUS_LEAST_S)
    late = np.stack([np.interp(heard_s, time_s, channel, left=0.0) for channel in clip])
    return np.asarray(0.5 * (clip + late))


def hall(
    clip: np.ndarray,
    sample_rate: int,
    *,
    room_size: float,
    damping: float = 0.5,
    wet: float = 0.33,
    dry: float = 0.4,
) -> np.ndarray:
    """The clip in an artificial hall (Freeverb); all four settings lie between 0 and 1."""
    return 2 * dry * clip + 3 * wet * convolved(clip, _freeverb(room_size, damping, sample_rate))


def ladder_high_pass(clip: np.ndarray, sample_rate: int, *, cutoff_hz: float) -> np.ndarray:
    """A transistor ladder without resonance, tapped as a high-pass of 12 dB per octave.

    Its input saturates as a hyperbolic tangent; its gain above the cutoff is 1.2.
    """
    pole = np.exp(-2 * np.pi * cutoff_hz / sample_rate)
    zero = pole + (1 - pole) * 3 / 13  # one stage taken from its input has its zero at 0 Hz
    stage = zero * np.array([1.0, -1.0])
    over = np.array([1.0, -pole])
    filtered = lfilter(1.2 * np.convolve(stage, stage), np.convolve(over, over), np.tanh(clip))
    return np.asarray(filtered)


def phased(
    clip: np.ndarray,
    sample_rate: int,
    *,
    centre_hz: float = 1300.0,
    depth: float = 0.5,
    rate_hz: float = 1.0,
) -> np.ndarray:
    """The clip mixed half and half with itself after six all-pass filters whose corner swings.

    In logarithms the corner moves by ``depth`` / 2 of the range from 20 Hz to 20 kHz (or 0.49 of a
    lower sample rate). As in the original, ``centre_hz`` is that place in the range up to 20 kHz
    even where the range ends lower, so that at 16 kHz the corner swings around 738 Hz.
    """
    hop, (low, high) = hop_samples(sample_rate), PHASER_RANGE_HZ
    spectra = analysed(clip, sample_rate)
    centre = np.log(centre_hz / low) / np.log(high / low)
    frame_s = np.arange(spectra.shape[-2]) * hop / sample_rate
    place = np.clip(centre + depth / 2 * np.sin(2 * np.pi * rate_hz * frame_s), 0, 1)
    corner_hz = low * (min(high, 0.49 * sample_rate) / low) ** place
    bins = np.tan(np.linspace(0, np.pi / 2, hop + 1)[:-1])
    angle = np.arctan(bins / np.tan(np.pi * corner_hz / sample_rate)[:, None])
    late = np.exp(-2j * PHASER_STAGES * np.pad(angle, [(0, 0), (0, 1)], constant_values=np.pi / 2))
    return resynthesised(spectra * (0.5 + 0.5 * late), clip.shape[-1], sample_rate)


def convolved(clip: np.ndarray, response: np.ndarray) -> np.ndarray:
    """What is heard of ``clip`` through an impulse response shaped (time,), cut at its length."""
    count = clip.shape[-1]
    return np.asarray(fftconvolve(clip, response[None, :count], axes=-1)[..., :count])


@lru_cache(maxsize=8)
def _freeverb(room_size: float, damping: float, sample_rate: int) -> np.ndarray:
    """The impulse response of eight damped combs side by side and four all-passes in a row."""
    padded = 2 * round(2 * HALL_S * sample_rate)  # so long that what wraps around is inaudible
    omega = 2j * np.pi * np.arange(padded // 2 + 1) / padded
    damp, feedback = 0.4 * damping, 0.7 + 0.28 * room_size
    returned = feedback * (1 - damp) / (1 - damp * np.exp(-omega))
    response = np.zeros_like(omega)
    for delay in COMBS:
        turn = np.exp(-omega * (sample_rate * delay // 44_100))
        response += turn / (1 - returned * turn)
    for delay in ALL_PASSES:
        turn = np.exp(-omega * (sample_rate * delay // 44_100))
        response *= (1.5 * turn - 1) / (1 - 0.5 * turn)
    return np.asarray(0.015 * irfft(response, padded)[: round(HALL_S * sample_rate)])
