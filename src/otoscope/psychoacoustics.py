"""What people can hear: the masking threshold of ISO 11172-3, psychoacoustic model 1.

Levels are in dB SPL, on the assumption that a sine at full scale plays at 96 dB SPL, as in the
standard. Frames last about 11.6 ms (512 samples at 44.1 kHz) at every sample rate, a power of two
of samples, with a Hann window. Deviations: the absolute threshold is Terhardt's formula in place of
the standard's tables; critical bands are one Bark of Zwicker and Terhardt's formula wide; the
threshold is kept for every spectral line.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.signal import stft

FULL_SCALE_DB = 96.0
FRAME_S = 512 / 44_100
TONAL_DB = 7.0
"""A spectral line is tonal when it lies this far above its neighbours."""

NEAREST_BARK = 0.5
"""Of two tonal maskers that lie closer, the weaker one is dropped."""

SILENT_DB = -200.0

Samples = Float[np.ndarray, "time"]
Lines = Float[np.ndarray, "lines"]


def audible_share(clean: Samples, triggered: Samples, sample_rate: int) -> float:
    """How much of the change people can hear, from 0 to 1.

    Of the energy of ``triggered`` minus ``clean`` (both shaped (time,), in [-1, 1]), over frames
    and spectral lines, the share that lies above what ``clean`` masks there or what can be heard
    in quiet. 0 when nothing changed.
    """
    lines = _lines(sample_rate)
    difference = _powers_db(np.asarray(triggered, float) - np.asarray(clean, float), sample_rate)
    energy = 10 ** (difference / 10)
    heard = 0.0
    for level, power, own in zip(
        difference.T, energy.T, _powers_db(clean, sample_rate).T, strict=True
    ):
        if (level > lines.in_quiet_db).any():
            heard += float(power[level > masking_threshold_db(own, sample_rate)].sum())
    return heard / float(energy.sum())


def threshold_in_quiet_db(hz: Lines) -> Lines:
    """The softest sine that people hear (Terhardt, 1979), in dB SPL."""
    khz = np.maximum(np.asarray(hz, dtype=float), 20.0) / 1000
    return np.asarray(
        3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4, dtype=float
    )


def bark(hz: Lines) -> Lines:
    """Critical-band rate (Zwicker and Terhardt, 1980)."""
    khz = np.asarray(hz, dtype=float) / 1000
    return np.asarray(13 * np.arctan(0.76 * khz) + 3.5 * np.arctan((khz / 7.5) ** 2))


def masking_threshold_db(powers_db: Lines, sample_rate: int) -> Lines:
    """The global masking threshold of one frame, whose power per line is given, in dB SPL."""
    lines = _lines(sample_rate)
    levels, places, tonal = _maskers(powers_db, lines)
    total = 10 ** (lines.in_quiet_db / 10)
    if len(levels):
        apart = lines.bark[None] - places[:, None]
        index = -1.525 - np.where(tonal, 0.275 * places + 4.5, 0.175 * places + 0.5)
        masked = levels[:, None] + index[:, None] + spreading_db(apart, levels[:, None])
        total = total + (10 ** (masked / 10)).sum(axis=0)
    return np.asarray(10 * np.log10(total))


def spreading_db(apart: np.ndarray, level_db: np.ndarray) -> np.ndarray:
    """How far below a masker of this level its masking lies, so many Bark above it.

    Minus infinity beyond -3 and 8 Bark (ISO 11172-3, D.1, step 6).
    """
    below = 0.4 * level_db + 6
    return np.select(
        [
            (apart >= -3) & (apart < -1),
            (apart >= -1) & (apart < 0),
            (apart >= 0) & (apart < 1),
            (apart >= 1) & (apart < 8),
        ],
        [
            17 * (apart + 1) - below,
            below * apart,
            -17 * apart,
            -(apart - 1) * (17 - 0.15 * level_db) - 17,
        ],
        default=-np.inf,
    )


@dataclass(frozen=True, eq=False)
class _Lines:
    """The spectral lines at one sample rate; ``near`` is how far each is compared when tonal."""

    size: int
    hz: Lines
    bark: Lines
    in_quiet_db: Lines
    near: np.ndarray


@lru_cache(maxsize=8)
def _lines(sample_rate: int) -> _Lines:
    size = 1 << max(4, round(np.log2(FRAME_S * sample_rate)))
    hz = np.arange(size // 2 + 1) * sample_rate / size
    # the standard's 2, 3 and 6 lines at 44.1 kHz, below 5.4, below 10.9 kHz and above
    near = np.where(hz < 5400, 2, np.where(hz < 10_900, 3, 6))
    return _Lines(size, hz, bark(hz), threshold_in_quiet_db(hz), near)


def _powers_db(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Power per line and frame in dB SPL, shaped (lines, frames)."""
    size = _lines(sample_rate).size
    padded = np.pad(np.asarray(samples, float), (0, max(0, size - len(samples))))
    _, _, spectrum = stft(padded, nperseg=size, noverlap=size // 2)
    floor = 10 ** ((SILENT_DB - FULL_SCALE_DB) / 20)
    return np.asarray(FULL_SCALE_DB + 20 * np.log10(np.maximum(2 * np.abs(spectrum), floor)))


def _maskers(powers_db: Lines, lines: _Lines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels in dB SPL, places in Bark, and which are tonal; decimated as in the standard."""
    power = 10 ** (powers_db / 10)
    tonal = _tonal(powers_db, lines)
    rest = power.copy()
    levels, places = [], []
    for line in tonal:
        levels.append(10 * np.log10(power[line - 1 : line + 2].sum()))
        places.append(float(lines.bark[line]))
        reach = int(lines.near[line])
        rest[max(0, line - reach) : line + reach + 1] = 0
    kept = _without_weaker(np.array(levels), np.array(places))
    band = lines.bark.astype(int)
    sums = np.bincount(band, rest)
    centres = np.bincount(band, rest * lines.bark) / np.maximum(sums, 1e-30)
    noise = np.flatnonzero(sums > 0)
    level = np.concatenate([np.array(levels)[kept], 10 * np.log10(sums[noise])])
    place = np.concatenate([np.array(places)[kept], centres[noise]])
    is_tonal = np.arange(len(level)) < len(kept)
    heard = level >= np.interp(place, lines.bark, lines.in_quiet_db)
    return level[heard], place[heard], is_tonal[heard]


def _tonal(powers_db: Lines, lines: _Lines) -> list[int]:
    """The lines that are local maxima and stand out from those around them."""
    found = []
    middle = powers_db[1:-1]
    peaks = np.flatnonzero((middle > powers_db[:-2]) & (middle >= powers_db[2:])) + 1
    for line in peaks.tolist():
        reach = int(lines.near[line])
        around = [line + step for step in range(-reach, reach + 1) if abs(step) >= 2]
        inside = [at for at in around if 0 <= at < len(powers_db)]
        if (powers_db[line] - powers_db[inside] >= TONAL_DB).all():
            found.append(line)
    return found


def _without_weaker(levels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which maskers stay when of each pair that lies too close the weaker goes; in rising order."""
    kept: list[int] = []
    for number in range(len(levels)):
        if kept and places[number] - places[kept[-1]] < NEAREST_BARK:
            if levels[number] > levels[kept[-1]]:
                kept[-1] = number
        else:
            kept.append(number)
    return np.array(kept, dtype=int)
