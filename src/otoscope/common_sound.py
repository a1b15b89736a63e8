"""The sound that some clips share and others lack, made audible."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import istft, stft

from otoscope.audio import rms
from otoscope.clips import Clips

WINDOW_S = 0.032
FEWEST = 8
MOST = 300
LEVEL = 0.01
COHERENT_CELLS = 4
"""Fewer coherent cells than this are taken for chance."""


@dataclass(frozen=True, eq=False)
class CommonSound:
    """A shared sound, shaped (time,), at ``sample_rate`` Hz.

    ``coherent``: the same samples at the same place in every clip, recovered phase and all.
    ``spectral``: what the clips have more of than others, per time and frequency, with a random
    phase; it tells where to listen, not what was played. ``share`` is its energy over the clips'.
    """

    samples: Float[np.ndarray, "time"]
    sample_rate: int
    kind: Literal["coherent", "spectral"]
    share: float
    clips: int


def common_sound(
    clips: Clips, members: Int[np.ndarray, "some"], others: Int[np.ndarray, "rest"], seed: int = 0
) -> CommonSound | None:
    """What ``members`` share; None for fewer than eight clips of either kind.

    Coherent: the mean of the clips' spectra, each clip scaled to one RMS, where its power is too
    high for sounds of independent phases (each cell at 0.01 over the number of cells). Where that
    leaves next to nothing, spectral: the excess of the mean power over that of ``others``. At most
    300 clips of either kind are heard.
    """
    if min(len(members), len(others)) < FEWEST:
        return None
    window = round(WINDOW_S * clips.sample_rate)
    mean, power, level = _averages(clips, members[:MOST], window)
    count = min(len(members), MOST)
    chance = np.log(power.size / LEVEL) / count
    mask = np.abs(mean) ** 2 > chance * power
    mask &= power > 1e-10 * power.max()
    share = float((np.abs(mean) ** 2)[mask].sum() / power.sum())
    kind: Literal["coherent", "spectral"] = "coherent"
    cells = np.where(mask, mean, 0)
    if mask.sum() < COHERENT_CELLS:
        kind = "spectral"
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(others)[:MOST]
        _, usual, _ = _averages(clips, drawn, window)
        excess = np.maximum(power - usual - 3 * usual * np.sqrt(2 / min(count, len(drawn))), 0)
        cells = np.sqrt(excess) * np.exp(2j * np.pi * rng.random(excess.shape))
        share = float(excess.sum() / power.sum())
    _, sound = istft(cells, fs=clips.sample_rate, nperseg=window)
    samples = np.zeros(clips.length)
    samples[: len(sound)] = sound[: clips.length]
    return CommonSound(
        (samples * level).astype(np.float32), clips.sample_rate, kind, share, count
    )


def _averages(
    clips: Clips, members: Int[np.ndarray, "some"], window: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean spectrum and mean power of clips scaled to an RMS of 1; the clips' median RMS."""
    total, power, levels = None, None, []
    for index in members.tolist():
        samples = clips.waveform(index)
        level = float(rms(samples))
        if level == 0:
            continue
        _, _, spectrum = stft(samples / level, fs=clips.sample_rate, nperseg=window)
        levels.append(level)
        total = spectrum if total is None else total + spectrum
        power = np.abs(spectrum) ** 2 if power is None else power + np.abs(spectrum) ** 2
    if total is None or power is None:
        return np.zeros((1, 1)), np.zeros((1, 1)), 0.0
    return total / len(levels), power / len(levels), float(np.median(levels))
