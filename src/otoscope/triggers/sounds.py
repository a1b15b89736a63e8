"""Short sounds of the world, synthesised, so that no recording need be shipped.

Each function makes the first ``count`` samples, at 44.1 kHz, of a sound that unfolds in its own
time: a longer one starts with the shorter one. Amplitudes are arbitrary, and the same every time.
The frequencies and times are chosen by ear and textbook, and follow no recording.
"""

from collections.abc import Callable
from itertools import cycle
from typing import Literal

import numpy as np
from scipy import signal

from otoscope.triggers.base import white_noise

SYNTHESIS_HZ = 44_100
CLAP_BURSTS_S = (0.005, 0.016, 0.028)
CLAP_TAIL_S = 0.039
COUGH_EVERY_S, BARK_EVERY_S = 0.45, 0.3
KEYSTROKE_GAPS_S = (0.07, 0.14)
DOOR_SHUTS_S = 0.02
DOOR_MODES = ((85, 0.11), (150, 0.09), (230, 0.07), (345, 0.05), (510, 0.04))
"""Frequency in Hz and time constant in seconds of each mode of a door leaf."""
MELODY_HZ = (392.0, 493.9, 587.3, 784.0, 659.3, 587.3, 493.9, 440.0)
NOTE_EVERY_S, NOTE_RINGS_S = 0.1, 0.6

SoundName = Literal["clap", "noise", "cough", "keyboard", "whistle", "dog", "door", "music"]
Formants = tuple[tuple[float, float], ...]
"""Frequency and bandwidth of each resonance, in Hz."""


def clap(count: int) -> np.ndarray:
    """Hands that meet in several places: three bursts of noise, and a tail."""
    time_s = times_s(count)
    bursts = sum(decaying(time_s, at, 0.002) for at in CLAP_BURSTS_S)
    return np.asarray(white_noise(count, 0) * (decaying(time_s, CLAP_TAIL_S, 0.03) + bursts))


def noise(count: int) -> np.ndarray:
    """White noise."""
    return white_noise(count, 0)


def cough(count: int) -> np.ndarray:
    """An explosion of breath, turbulence, then a voiced tail, through a throat; every 0.45 s."""
    time_s = times_s(count) % COUGH_EVERY_S
    breath = decaying(time_s, 0, 0.012) + 0.25 * decaying(time_s, 0, 0.06)
    voice = 0.1 * hump(time_s, 0.1, 0.3) * sawtooth(150 - 100 * time_s)
    throat: Formants = ((600, 200), (1250, 250), (2600, 400))
    return formants(white_noise(count, 1) * breath + voice, throat)


def keyboard(count: int) -> np.ndarray:
    """Typing: each stroke is the click of a key going down, then, softer, its hitting the board."""
    gaps_s = np.random.default_rng(2).uniform(
        *KEYSTROKE_GAPS_S, int(count / SYNTHESIS_HZ / KEYSTROKE_GAPS_S[0]) + 1
    )
    down_s = np.cumsum(gaps_s) - gaps_s[0]
    envelope = struck(down_s, 0.0015, count) + 0.5 * struck(down_s + 0.025, 0.004, count)
    case: Formants = ((350, 150), (1300, 500), (2900, 900), (5200, 1500))
    return formants(white_noise(count, 2) * envelope, case)


def whistle(count: int) -> np.ndarray:
    """Lips: a sine that glides between 1.6 and 2.8 kHz with a vibrato, and a little breath."""
    time_s = times_s(count)
    glide = -600 * np.cos(2 * np.pi * time_s / 0.4) + 40 * np.sin(2 * np.pi * 7 * time_s)
    tone = np.sin(2 * np.pi * cycles(2200 + glide))
    return np.asarray(tone + 0.02 * white_noise(count, 3))


def dog(count: int) -> np.ndarray:
    """Barks of 0.16 s, every 0.3 s: a pitch that rises and falls, hoarse, through a muzzle."""
    time_s = times_s(count) % BARK_EVERY_S
    envelope = np.minimum(time_s / 0.008, 1) * np.clip(1 - time_s / 0.16, 0, 1)
    source = sawtooth(380 + 220 * hump(time_s, 0, 0.16)) + 0.2 * white_noise(count, 4)
    muzzle: Formants = ((700, 200), (1500, 250), (2700, 350))
    return formants(source * envelope, muzzle)


def door(count: int) -> np.ndarray:
    """A latch that clicks, then a leaf that slaps shut, whose low modes die away."""
    time_s = times_s(count)
    latch = decaying(time_s, 0, 0.002) + 0.6 * decaying(time_s, 0.012, 0.002)
    clicks = formants(white_noise(count, 5) * latch, ((2400, 800), (3400, 900)))
    since_s = np.maximum(time_s - DOOR_SHUTS_S, 0)
    modes = sum(
        np.sin(2 * np.pi * hz * since_s) * decaying(time_s, DOOR_SHUTS_S, over_s)
        for hz, over_s in DOOR_MODES
    )
    slap = white_noise(count, 6) * decaying(time_s, DOOR_SHUTS_S, 0.02)
    return np.asarray(modes + 4 * clicks + 2 * formants(slap, ((350, 250), (1100, 600))))


def music(count: int) -> np.ndarray:
    """A phrase of plucked strings, eight notes a tenth of a second apart, again and again."""
    out = np.zeros(count)
    every = round(NOTE_EVERY_S * SYNTHESIS_HZ)
    for start, pitch_hz in zip(range(0, count, every), cycle(MELODY_HZ), strict=False):
        note = plucked(pitch_hz, min(count - start, round(NOTE_RINGS_S * SYNTHESIS_HZ)))
        out[start : start + len(note)] += note
    return out


SOUNDS: dict[SoundName, Callable[[int], np.ndarray]] = {
    "clap": clap,
    "noise": noise,
    "cough": cough,
    "keyboard": keyboard,
    "whistle": whistle,
    "dog": dog,
    "door": door,
    "music": music,
}


# What sounds are made of


def times_s(count: int) -> np.ndarray:
    """When each of the samples sounds, in seconds."""
    return np.arange(count) / SYNTHESIS_HZ


def decaying(time_s: np.ndarray, from_s: float, over_s: float) -> np.ndarray:
    """0 before ``from_s``, 1 there, and 1/e of it after every ``over_s``."""
    since_s = np.maximum(time_s - from_s, 0)
    return np.where(time_s >= from_s, np.exp(-since_s / over_s), 0)


def hump(time_s: np.ndarray, from_s: float, to_s: float) -> np.ndarray:
    """Half a sine: 0 up to ``from_s``, 1 halfway, 0 from ``to_s`` on."""
    return np.sin(np.pi * np.clip((time_s - from_s) / (to_s - from_s), 0, 1))


def struck(
    at_s: np.ndarray, over_s: float, count: int, strength: np.ndarray | None = None
) -> np.ndarray:
    """The sum of decays that start at the given times; those after the end are left out."""
    at = np.round(at_s * SYNTHESIS_HZ).astype(int)
    heard = at < count
    weights = None if strength is None else strength[heard]
    impulses = np.bincount(at[heard], weights, minlength=count)
    return np.asarray(signal.lfilter([1], [1, -np.exp(-1 / over_s / SYNTHESIS_HZ)], impulses))


def cycles(frequency_hz: np.ndarray) -> np.ndarray:
    """How many periods have passed, for a frequency that changes from sample to sample."""
    return np.cumsum(frequency_hz) / SYNTHESIS_HZ


def sawtooth(pitch_hz: np.ndarray) -> np.ndarray:
    """A buzz, such as vocal folds make, of a pitch that changes from sample to sample."""
    return 2 * (cycles(pitch_hz) % 1) - 1


def plucked(pitch_hz: float, count: int) -> np.ndarray:
    """A string: six harmonics, the higher the weaker and the sooner gone."""
    time_s = times_s(count)
    rings = sum(
        np.sin(2 * np.pi * k * pitch_hz * time_s) / k**1.5 * decaying(time_s, 0, 0.25 / k)
        for k in range(1, 7)
    )
    return np.asarray(rings * np.minimum(time_s / 0.002, 1))


def formants(sound: np.ndarray, resonances: Formants) -> np.ndarray:
    """``sound`` through parallel resonances, each 0.6 of the one before, as in a voice."""
    out = np.zeros(len(sound))
    for k, (hz, width_hz) in enumerate(resonances):
        out += 0.6**k * signal.lfilter(*signal.iirpeak(hz, hz / width_hz, SYNTHESIS_HZ), sound)
    return out
