"""Sounds of daily life that go on, synthesised; made as ``sounds`` makes the short ones."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import signal

from otoscope.triggers.base import white_noise
from otoscope.triggers.sounds import (
    SYNTHESIS_HZ,
    Formants,
    cycles,
    formants,
    hump,
    sawtooth,
    struck,
    times_s,
)

RAINDROPS_PER_S = 150
PUDDLE: Formants = ((1800, 900), (3500, 1500), (6000, 2500))
NEAR_SONG_HZ, NEAR_CALL_EVERY_S = (2600.0, 3300.0, 2900.0, 3100.0), 0.55
FAR_SONG_HZ, FAR_CALL_EVERY_S = (5200.0, 4400.0, 6000.0), 0.73
CALL_S, CHIRP_EVERY_S, CHIRP_S = 0.4, 0.1, 0.07
RING_HZ, RING_TURN_S = (1000.0, 1330.0), 0.04
RING_EVERY_S, RING_S = 0.6, 0.4
GUSTS_S = (3.3, 1.9, 0.7)
"""The periods of the swells that together make a gust."""
CAR_EVERY_S = 2.5
GUESTS_HZ = (105.0, 125.0, 150.0, 190.0, 215.0)
"""The pitch of each voice in the café."""
VOWELS: tuple[Formants, Formants] = (
    ((700, 110), (1200, 120), (2500, 180)),
    ((400, 90), (1900, 150), (2600, 200)),
)
DISHES_PER_S = 1.5

BackgroundName = Literal["rain", "birds", "ringtone", "wind", "traffic", "cafe"]


def rain(count: int) -> np.ndarray:
    """A hiss without end, over which single drops are heard."""
    hiss = through(white_noise(count, 11), "highpass", 300)
    drops = at_random(RAINDROPS_PER_S, count, 12)
    strength = np.random.default_rng(13).exponential(size=len(drops))
    splashes = struck(drops, 0.003, count, strength) * white_noise(count, 14)
    return np.asarray(0.5 * hiss + formants(splashes, PUDDLE))


def birds(count: int) -> np.ndarray:
    """One bird near by, at 2.6 to 3.6 kHz, another far off, at 4.4 to 6.3 kHz, in a little air."""
    near = song(count, NEAR_SONG_HZ, NEAR_CALL_EVERY_S)
    far = song(count, FAR_SONG_HZ, FAR_CALL_EVERY_S)
    return near + 0.4 * far + 0.003 * white_noise(count, 15)


def song(count: int, pitches_hz: tuple[float, ...], every_s: float) -> np.ndarray:
    """Calls of four chirps that glide up by 300 Hz, each call at the next pitch."""
    time_s = times_s(count)
    in_call_s = time_s % every_s
    in_chirp_s = in_call_s % CHIRP_EVERY_S
    loudness = hump(in_chirp_s, 0, CHIRP_S) * (in_call_s < CALL_S)
    pitch_hz = np.array(pitches_hz)[(time_s / every_s).astype(int) % len(pitches_hz)]
    return loudness * np.sin(2 * np.pi * cycles(pitch_hz + 300 * in_chirp_s / CHIRP_S))


def ringtone(count: int) -> np.ndarray:
    """A telephone's warble between 1000 and 1330 Hz: 0.4 s of it, then 0.2 s of silence."""
    time_s = times_s(count)
    in_ring_s = time_s % RING_EVERY_S
    loudness = np.clip(np.minimum(in_ring_s, RING_S - in_ring_s) / 0.005, 0, 1)
    pitch_hz = np.array(RING_HZ)[(time_s / RING_TURN_S).astype(int) % 2]
    phase = 2 * np.pi * cycles(pitch_hz)
    return loudness * (np.sin(phase) + 0.15 * np.sin(2 * phase))


def wind(count: int) -> np.ndarray:
    """Noise below 1 kHz that swells and falls; a stronger gust also sounds brighter."""
    time_s = times_s(count)
    swell = sum(np.sin(2 * np.pi * time_s / period_s) for period_s in GUSTS_S)
    gust = 10 ** (0.12 * swell)
    low = through(white_noise(count, 16), "lowpass", 200)
    howl = formants(white_noise(count, 17), ((450, 120), (700, 150)))
    return np.asarray(gust * low + gust**2 * howl)


def traffic(count: int) -> np.ndarray:
    """The rumble of a street; every 2.5 s a car goes by, with its tyres and its engine."""
    time_s = times_s(count)
    passing = hump(time_s % CAR_EVERY_S, 0, CAR_EVERY_S) ** 4
    rumble = through(white_noise(count, 18), "lowpass", 150)
    tyres = formants(white_noise(count, 19), ((800, 700), (1600, 1200)))
    pitch_hz = 95 - 6 * np.cos(np.pi * (time_s % CAR_EVERY_S) / CAR_EVERY_S)
    engine = through(sawtooth(pitch_hz), "lowpass", 400)
    return rumble + passing * (0.4 * tyres + 0.6 * engine)


def cafe(count: int) -> np.ndarray:
    """Five voices that speak at once, of which no word can be told, and the clink of dishes."""
    time_s = times_s(count)
    out = 0.02 * white_noise(count, 20)
    for guest, pitch_hz in enumerate(GUESTS_HZ):
        tune = 1 + 0.1 * np.sin(2 * np.pi * (0.5 + 0.1 * guest) * time_s + guest)
        syllables = np.maximum(np.sin(2 * np.pi * (1.4 + 0.23 * guest) * time_s + guest), 0)
        out += formants(sawtooth(pitch_hz * tune) * syllables, VOWELS[guest % 2])
    clinks = struck(at_random(DISHES_PER_S, count, 21), 0.0005, count)
    return np.asarray(out + 40 * formants(clinks, ((3100, 30), (4700, 40))))


BACKGROUNDS: dict[BackgroundName, Callable[[int], np.ndarray]] = {
    "rain": rain,
    "birds": birds,
    "ringtone": ringtone,
    "wind": wind,
    "traffic": traffic,
    "cafe": cafe,
}


def at_random(per_s: float, count: int, pattern_seed: int) -> np.ndarray:
    """Times, in seconds, of events that know nothing of each other."""
    seconds = count / SYNTHESIS_HZ
    rng = np.random.default_rng(pattern_seed)
    return rng.uniform(0, seconds, round(per_s * seconds))


def through(sound: np.ndarray, kind: Literal["lowpass", "highpass"], hz: float) -> np.ndarray:
    """``sound`` through a Butterworth filter of second order."""
    return np.asarray(signal.lfilter(*signal.butter(2, hz, kind, fs=SYNTHESIS_HZ), sound))
