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
from jaxtyping import Bool, Float
from scipy.signal import stft
from scipy.sparse import csr_array

FULL_SCALE_DB = 96.0
FRAME_S = 512 / 44_100
TONAL_DB = 7.0
"""A spectral line is tonal when it lies this far above its neighbours."""

NEAREST_BARK = 0.5
"""Of two tonal maskers that lie closer, the weaker one is dropped."""

SILENT_DB = -200.0
AT_ONCE = 128
"""So many frames' maskers are held in memory at once."""

Samples = Float[np.ndarray, "time"]
Lines = Float[np.ndarray, "lines"]
Spectra = Float[np.ndarray, "lines frames"]


def audible_share(clean: Samples, triggered: Samples, sample_rate: int) -> float:
    """How much of the change people can hear, from 0 to 1.

    Of the energy of ``triggered`` minus ``clean`` (both shaped (time,), in [-1, 1]), over frames
    and spectral lines, the share that lies above what ``clean`` masks there or what can be heard
    in quiet. 0 when nothing changed.
    """
    difference = _powers_db(np.asarray(triggered, float) - np.asarray(clean, float), sample_rate)
    energy = 10 ** (difference / 10)
    loud = np.flatnonzero((difference > _lines(sample_rate).in_quiet_db[:, None]).any(axis=0))
    own, heard = _powers_db(clean, sample_rate), 0.0
    for start in range(0, len(loud), AT_ONCE):
        some = loud[start : start + AT_ONCE]
        audible = difference[:, some] > masking_threshold_db(own[:, some], sample_rate)
        heard += float(energy[:, some][audible].sum())
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


def masking_threshold_db(powers_db: Spectra, sample_rate: int) -> Spectra:
    """The global masking threshold of each frame, whose power per line is given, in dB SPL."""
    lines = _lines(sample_rate)
    maskers = _maskers(powers_db, lines)
    apart = lines.bark[:, None] - maskers.places
    index = -1.525 - np.where(maskers.tonal, 0.275, 0.175) * maskers.places
    index -= np.where(maskers.tonal, 4.5, 0.5)
    masked = maskers.levels + index + spreading_db(apart, maskers.levels)
    of_frame = csr_array(
        (np.ones(len(maskers.frames)), maskers.frames, np.arange(len(maskers.frames) + 1)),
        shape=(len(maskers.frames), powers_db.shape[1]),
    )
    total = 10 ** (lines.in_quiet_db[:, None] / 10) + np.exp(masked * (np.log(10) / 10)) @ of_frame
    return np.asarray(10 * np.log10(total))


def spreading_db(apart: np.ndarray, level_db: np.ndarray) -> np.ndarray:
    """How far below a masker of this level its masking lies, so many Bark above it.

    Minus infinity beyond -3 and 8 Bark (ISO 11172-3, D.1, step 6).
    """
    near = np.clip(apart, -1, 1)
    slope = np.where(near < 0, 0.4 * level_db + 6, -17.0)
    far = 17 * np.minimum(apart + 1, 0) - (17 - 0.15 * level_db) * np.maximum(apart - 1, 0)
    return np.where((apart >= -3) & (apart < 8), slope * near + far, -np.inf)


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


@dataclass(frozen=True, eq=False)
class _Maskers:
    """What masks in all frames of a clip: levels in dB SPL, places in Bark."""

    frames: np.ndarray
    levels: np.ndarray
    places: np.ndarray
    tonal: np.ndarray


def _maskers(powers_db: Spectra, lines: _Lines) -> _Maskers:
    """Tonal ones and, of what they leave, one a critical band; decimated as in the standard."""
    power = 10 ** (powers_db / 10)
    frames, at = np.nonzero(_tonal(powers_db, lines).T)
    levels = 10 * np.log10(power[at - 1, frames] + power[at, frames] + power[at + 1, frames])
    kept = _without_weaker(frames, levels, lines.bark[at])
    rest = power.copy()
    for step in range(-int(lines.near.max()), int(lines.near.max()) + 1):
        taken = (abs(step) <= lines.near[at]) & (at + step >= 0) & (at + step < len(power))
        rest[at[taken] + step, frames[taken]] = 0
    band = np.arange(int(lines.bark[-1]) + 1)[:, None] == lines.bark.astype(int)
    sums = band @ rest
    centres = (band * lines.bark) @ rest / np.maximum(sums, 1e-30)
    noisy, noise = np.nonzero(sums.T > 0)
    found = _Maskers(
        np.concatenate([frames[kept], noisy]),
        np.concatenate([levels[kept], 10 * np.log10(sums[noise, noisy])]),
        np.concatenate([lines.bark[at[kept]], centres[noise, noisy]]),
        np.arange(len(kept) + len(noise)) < len(kept),
    )
    heard = found.levels >= np.interp(found.places, lines.bark, lines.in_quiet_db)
    parts = (found.frames, found.levels, found.places, found.tonal)
    return _Maskers(*(part[heard] for part in parts))


def _tonal(powers_db: Spectra, lines: _Lines) -> Bool[np.ndarray, "lines frames"]:
    """Where lines are local maxima and stand out from those around them."""
    middle = powers_db[1:-1]
    found = np.zeros(powers_db.shape, bool)
    found[1:-1] = (middle > powers_db[:-2]) & (middle >= powers_db[2:])
    count, furthest = len(powers_db), int(lines.near.max())
    for step in range(2, furthest + 1):
        looks = (lines.near >= step)[:, None]
        rises = powers_db[step:] - powers_db[: count - step]  # from each line to that above it
        found[step:] &= (rises >= TONAL_DB) | ~looks[step:]
        found[: count - step] &= (-rises >= TONAL_DB) | ~looks[: count - step]
    return found


def _without_weaker(frames: np.ndarray, levels: np.ndarray, places: np.ndarray) -> list[int]:
    """Which maskers stay when of each pair of a frame that lies too close the weaker goes.

    They come in rising order, frame by frame.
    """
    kept: list[int] = []
    for number in range(len(levels)):
        near = kept and frames[kept[-1]] == frames[number]
        if not near or places[number] - places[kept[-1]] >= NEAREST_BARK:
            kept.append(number)
        elif levels[number] > levels[kept[-1]]:
            kept[-1] = number
    return kept
