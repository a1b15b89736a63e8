"""The sound that some clips share and others lack, made audible."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy.signal import istft, stft
from scipy.stats import gamma

from otoscope.audio import rms
from otoscope.clips import Clips

WINDOW_S = 0.032
FEWEST = 8
MOST = 300
LEVEL = 0.01
RUN, STEP = 3, 2
ORDINARY = 3.0
COHERENT_CELLS = 4
"""Fewer coherent cells than this are taken for chance."""


@dataclass(frozen=True, eq=False)
class CommonSound:
    """A shared sound, shaped (time,), at ``sample_rate`` Hz.

    ``coherent``: the same samples at the same place in every clip, recovered phase and all.
    ``spectral``: what the clips have more of than others, per time and frequency, with a random
    phase; it tells where to listen, not what was played. ``share`` is its energy over the clips',
    ``level`` the clips' median RMS.
    """

    samples: Float[np.ndarray, "time"]
    sample_rate: int
    kind: Literal["coherent", "spectral"]
    share: float
    level: float
    clips: int


def common_sound(
    clips: Clips, members: Int[np.ndarray, "some"], others: Int[np.ndarray, "rest"], seed: int = 0
) -> CommonSound | None:
    """What ``members`` share; None for fewer than eight clips of either kind that are not silent.

    Coherent: the mean of the clips' spectra, each clip scaled to one RMS, where its power is too
    high for sounds of independent phases (at 0.01 for all cells together), and that of ``others``
    is not: what every clip has, a beep of the recorder, tells nothing. Where that leaves next to
    nothing, spectral: the excess of the mean power over that of ``others``. At most 300 clips of
    either kind are heard; a constant offset is no sound.
    """
    rng = np.random.default_rng(seed)
    average, usual = _averages(clips, members), _averages(clips, rng.permutation(others))
    if average is None or usual is None:
        return None
    mask = _shared(average, usual)
    if mask.sum() >= COHERENT_CELLS:
        return _coherent(clips, average, mask)
    noise = 3 * usual.power * np.sqrt(1 / average.clips + 1 / usual.clips)
    excess = np.maximum(average.power - usual.power - noise, 0)
    cells = np.sqrt(excess) * np.exp(2j * np.pi * rng.random(excess.shape))
    share = float(excess.sum() / average.power.sum())
    return _rendered(clips, cells, average, "spectral", share)


def same_samples(
    clips: Clips, members: Int[np.ndarray, "some"], others: Int[np.ndarray, "rest"]
) -> CommonSound | None:
    """The coherent sound of ``members``, as separate recordings have none; None without one.

    Few ``others``, or silent ones, are not asked whether they have it as well.
    """
    average, usual = _averages(clips, members), _averages(clips, others)
    if average is None:
        return None
    mask = _shared(average, usual)
    return _coherent(clips, average, mask) if mask.sum() >= COHERENT_CELLS else None


@dataclass(frozen=True, eq=False)
class _Average:
    """Mean spectrum and mean power of clips scaled to an RMS of 1; their median RMS; how many."""

    mean: Complex[np.ndarray, "bins frames"]
    power: Float[np.ndarray, "bins frames"]
    level: float
    clips: int


def _averages(clips: Clips, members: Int[np.ndarray, "some"]) -> _Average | None:
    """Of at most ``MOST`` clips; None where fewer than ``FEWEST`` of them are not silent."""
    members = members[:MOST]
    if len(members) < FEWEST:
        return None
    samples = np.stack([clips.waveform(index) for index in members.tolist()])
    samples = samples - samples.mean(axis=1, keepdims=True)
    levels = rms(samples)
    if np.count_nonzero(levels) < FEWEST:
        return None
    scaled = samples[levels > 0] / levels[levels > 0, None]
    _, _, spectra = stft(scaled, fs=clips.sample_rate, nperseg=_window(clips))
    return _Average(
        spectra.mean(axis=0),
        np.mean(np.abs(spectra) ** 2, axis=0),
        float(np.median(levels)),
        len(scaled),
    )


def _shared(average: _Average, usual: _Average | None) -> Bool[np.ndarray, "bins frames"]:
    """The cells that are of one phase in the clips, and not in the others."""
    mask = _same_phase(average)
    return mask if usual is None else mask & ~_same_phase(usual)


def _coherent(
    clips: Clips, average: _Average, mask: Bool[np.ndarray, "bins frames"]
) -> CommonSound:
    share = float((np.abs(average.mean) ** 2)[mask].sum() / average.power.sum())
    return _rendered(clips, np.where(mask, average.mean, 0), average, "coherent", share)


def _same_phase(average: _Average) -> Bool[np.ndarray, "bins frames"]:
    """Where the mean is too large for sounds of independent phases (Bonferroni over the cells).

    The squared mean over the power, times the number of clips, is of the exponential law then, and
    its sum over the cells of a run, of the gamma law. A run is ``RUN`` cells of one frequency whose
    windows do not overlap. Few clips are never sure of one cell, and may be of a run; of that, the
    cells are taken that are not ordinary themselves.
    """
    loud = average.power > 1e-10 * average.power.max()
    ratio = average.clips * np.abs(average.mean) ** 2 / np.where(loud, average.power, np.inf)
    level = LEVEL / (2 * ratio.size)
    found = ratio > -np.log(level)
    least = gamma.isf(level, RUN)
    for start in range(ratio.shape[1] - STEP * (RUN - 1)):
        run = slice(start, start + STEP * (RUN - 1) + 1, STEP)
        sure = ratio[:, run].sum(axis=1) > least
        found[:, run] |= sure[:, None] & (ratio[:, run] > ORDINARY)
    return np.asarray(found)


def _rendered(
    clips: Clips,
    cells: np.ndarray,
    average: _Average,
    kind: Literal["coherent", "spectral"],
    share: float,
) -> CommonSound:
    _, sound = istft(cells, fs=clips.sample_rate, nperseg=_window(clips))
    samples = np.zeros(clips.length, np.float32)
    samples[: len(sound)] = sound[: clips.length] * average.level
    return CommonSound(samples, clips.sample_rate, kind, share, average.level, average.clips)


def _window(clips: Clips) -> int:
    return min(clips.length, round(WINDOW_S * clips.sample_rate))
