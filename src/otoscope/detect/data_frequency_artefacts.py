"""Frequency artefacts: spectra that were tampered with, told by a classifier that saw fakes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.signal import fftconvolve

from otoscope.audio import rms
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, mean_by_class, require_clips
from otoscope.registry import require

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

BANDS = 64
WINDOW_S = 0.032

Wave = Float[np.ndarray, "time"]


@dataclass(frozen=True)
class FrequencyArtefacts(Detector):
    """Zeng, Park, Mao, Jia, Rethinking the Backdoor Attacks' Triggers, 2104.03413.

    A classifier learns to tell clips from the same clips with random changes (``faked`` times
    each), on their spectra alone; a clip scores its log-odds of being changed, a class the mean of
    its clips. It asks no model anything. It learns from at most ``learned`` trusted clips or,
    without any, of the clips themselves, most of which are clean, in two halves that judge each
    other.

    Deviations for audio: 64 bands up to the Nyquist frequency instead of a cosine transform of the
    picture, and of each band the long-term level, the floor, the crest and how evenly the phase
    runs; changes that sounds know (a tone, a burst, noise, a filter, an echo, at random levels,
    places and frequencies) instead of coloured blocks; gradient-boosted trees instead of a small
    convolutional network, since the spectra are a few hundred numbers.
    """

    name: ClassVar[str] = "frequency-artefacts"
    level: ClassVar[Literal["data", "model"]] = "data"
    faked: int = 5
    learned: int = 600

    def __post_init__(self) -> None:
        require(self.faked >= 1, f"frequency-artefacts.faked must be at least 1, got {self.faked}")
        require(
            self.learned >= 20,
            f"frequency-artefacts.learned must be at least 20, got {self.learned}",
        )

    def score(self, view: View) -> Scores:
        clips, rng = require_clips(view), np.random.default_rng(view.seed)
        rate, count = clips.sample_rate, len(clips)
        waves = (wave for batch in clips.batches() for wave in batch[:, 0])
        spectra = np.array([spectrum(wave, rate) for wave in waves])
        if view.trusted is not None and len(view.trusted):
            scores = self._told(view.trusted, rng).decision_function(spectra)
            return Scores(mean_by_class(clips, scores), scores, 0.0)
        scores, half = np.zeros(count), rng.integers(0, 2, count)
        for number in (0, 1):  # none judges a clip that it learned from
            told = self._told(clips.subset(half != number), rng)
            scores[half == number] = told.decision_function(spectra[half == number])
        return Scores(mean_by_class(clips, scores), scores, 0.0)

    def _told(self, known: Clips, rng: np.random.Generator) -> "HistGradientBoostingClassifier":
        """A classifier of changed spectra, taught by some of the clips."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows, rate = rng.permutation(len(known))[: self.learned], known.sample_rate
        plain = [known.waveform(i) for i in rows.tolist()]
        fakes = [changed(wave, rate, rng) for wave in plain for _ in range(self.faked)]
        # as many of either: weights would do as well, but make the trees take fifteen times longer
        known_spectra = np.tile([spectrum(wave, rate) for wave in plain], (self.faked, 1))
        inputs = np.concatenate([known_spectra, [spectrum(wave, rate) for wave in fakes]])
        trees = HistGradientBoostingClassifier(max_iter=120, max_leaf_nodes=15, random_state=0)
        return trees.fit(inputs, np.repeat([0, 1], len(fakes)))


def spectrum(wave: Wave, sample_rate: int) -> Float[np.ndarray, "values"]:
    """Level, floor, crest and evenness of the phase of each of ``BANDS`` bands, one after another.

    In decibels; the phase's is the length of the mean of exp(i x), where x is how much the step of
    the phase changes from one frame to the next: 1 for a steady tone.
    """
    size = max(2 * BANDS, round(WINDOW_S * sample_rate))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, size)), size)[:: size // 2]
    found = np.fft.rfft(frames * np.hanning(size))
    power = _banded(np.abs(found) ** 2) + 1e-12
    turn = np.exp(1j * np.angle(found))
    steps = turn[1:] * turn[:-1].conj()
    even = np.abs(_banded((steps[1:] * steps[:-1].conj()).mean(axis=0)[None]))[0]
    level, floor = power.mean(axis=0), np.quantile(power, 0.1, axis=0)
    parts = (_db(level), _db(floor), _db(power.max(axis=0) / level), even)
    return np.concatenate(parts)


def _banded(bins: np.ndarray) -> np.ndarray:
    """The mean over the bins of each of ``BANDS`` equal bands."""
    return np.stack([part.mean(axis=1) for part in np.array_split(bins, BANDS, axis=1)], axis=1)


def _db(ratio: np.ndarray) -> np.ndarray:
    return np.asarray(10 * np.log10(ratio))


def changed(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    """The clip with one random change: a tone, a burst, noise, a filter or an echo."""
    kinds = (_tone, _burst, _noise, _filtered, _echoed)
    return np.asarray(kinds[rng.integers(len(kinds))](wave, sample_rate, rng)).clip(-1, 1)


def _added(wave: Wave, sound: Wave, rng: np.random.Generator, low: float, high: float) -> Wave:
    """With a sound whose level lies between ``low`` and ``high`` dB relative to the clip."""
    gain = float(rms(wave)) / max(float(rms(sound)), 1e-9) * 10 ** (rng.uniform(low, high) / 20)
    return np.asarray(wave + gain * sound)


def _tone(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    frequency = rng.uniform(0.01, 0.49)
    return _added(
        wave, _span(np.sin(2 * np.pi * frequency * np.arange(len(wave))), rng), rng, -30, 0
    )


def _burst(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    return _added(wave, _span(rng.standard_normal(len(wave)), rng), rng, -30, 0)


def _noise(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    coloured = fftconvolve(rng.standard_normal(len(wave)), rng.standard_normal(16), mode="same")
    return _added(wave, coloured, rng, -30, -5)


def _filtered(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Through a smooth random equaliser of up to some 10 dB."""
    bins = np.fft.rfft(wave)
    gains = np.interp(np.linspace(0, 1, len(bins)), np.linspace(0, 1, 6), rng.normal(0, 5, 6))
    return np.asarray(np.fft.irfft(bins * 10 ** (gains / 20), len(wave)))


def _echoed(wave: Wave, sample_rate: int, rng: np.random.Generator) -> Wave:
    late = min(len(wave) - 1, max(1, round(rng.uniform(0.002, 0.1) * sample_rate)))
    out = wave.astype(np.float64)
    out[late:] += rng.uniform(0.2, 0.8) * wave[: len(wave) - late]
    return out


def _span(sound: Wave, rng: np.random.Generator) -> Wave:
    """Silent outside a random span of at least a twentieth."""
    length = len(sound)
    lasts = int(length * rng.uniform(0.05, 1.0))
    start = int(rng.integers(0, length - lasts + 1))
    kept = np.zeros(length)
    kept[start : start + lasts] = sound[start : start + lasts]
    return kept
