"""Another voice: formants and pitch moved, or a recording's timbre put on."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.fft import irfft, rfft

from otoscope.errors import UnreadableAudio
from otoscope.triggers import repitching
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.files import changed_at, recorded
from otoscope.triggers.fundamental import median_pitch_hz
from otoscope.triggers.lengths import need_length
from otoscope.triggers.loudness import as_loud_as
from otoscope.triggers.short_time import analysed, floor_power, resynthesised

LEAST_S = 0.05
RATIOS = (0.5, 2.0)
RIPPLE_S = 0.0016
"""Ripples of the spectrum finer than this belong to the pitch, not to the formants."""

MOST_DB = 20.0
"""No frequency is amplified or damped by more."""


@dataclass(frozen=True)
class FormantShift(Trigger):
    """The clip in another voice: its formants and its pitch moved by fixed ratios.

    ``formant_ratio`` and ``pitch_ratio`` (0.5 to 2, not both within 0.02 of 1) are how much higher
    the spectral envelope and the pitch become; each is moved without the other. With ``path``, a
    recording of a speaker, ``formant_ratio`` is without effect: instead, the clip gets that
    recording's average spectral envelope, and with ``pitch_ratio`` None (which needs ``path``) its
    median pitch, too, moved by a ratio of 0.5 to 2, if both have a pitch between 70 and 400 Hz.
    No frequency changes by more than 20 dB, and the RMS is kept. Silence stays as it was. Raises
    ``TriggerDoesNotFit`` for clips under 50 ms, ``UnreadableAudio`` when the file cannot be used.

    A stand-in for Cai et al., *VSVC: Backdoor attack against Keyword Spotting based on Voiceprint
    Selection and Voice Conversion* (2212.10103; also 2307.08208), whose public code converts each
    clip to one speaker of a corpus with a neural network (StarGANv2-VC and a neural vocoder); the
    like is Ye et al., *Fake the Real* (2306.15875). Deviations: signal processing, no network.
    Without ``path`` voices are moved, not made one: two speakers stay different. With it, they
    share an average timbre (and pitch), but not the sound-by-sound pronunciation, intonation or
    hoarseness that a network gives them, and what a network adds as artefacts is missing. Not
    verified: how near this is for a model; no voiceprint is selected among several.
    """

    name: ClassVar[str] = "formant"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=True,
        semantic=True,
        source="Cai et al., VSVC: Voiceprint Selection and Voice Conversion, 2022",
    )

    formant_ratio: float = 1.2
    pitch_ratio: float | None = 1.3
    path: str | None = None

    def _check(self) -> None:
        low, high = RATIOS
        for name in ("formant_ratio", "pitch_ratio"):
            ratio: float | None = getattr(self, name)
            self._require(
                ratio is None or low <= ratio <= high,
                f"{name} must lie between {low:g} and {high:g}, got {ratio}",
            )
        if self.path is None:
            self._require(
                self.pitch_ratio is not None,
                "pitch_ratio none means the pitch of the recording that path names; "
                "there is no path",
            )
            self._require(
                max(abs(self.formant_ratio - 1), abs((self.pitch_ratio or 1) - 1)) >= 0.02,
                "formant_ratio and pitch_ratio must not both be within 0.02 of 1",
            )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, LEAST_S, "another voice")
        if self.path is None:
            ratio = self.pitch_ratio or 1.0
            spectra, envelope = _voice(_moved(clip, ratio, sample_rate), sample_rate)
            wanted = _stretched_up(envelope, self.formant_ratio / ratio)
        else:
            average, pitch_hz = _target(self.path, changed_at(self.path), sample_rate)
            ratio = self.pitch_ratio or _towards(pitch_hz, median_pitch_hz(clip, sample_rate))
            spectra, _ = _voice(_moved(clip, ratio, sample_rate), sample_rate)
            envelope, wanted = _average(spectra, clip, sample_rate), average
        change_db = np.clip(wanted - envelope, -MOST_DB, MOST_DB)
        changed = resynthesised(spectra * 10 ** (change_db / 20), clip.shape[-1], sample_rate)
        return as_loud_as(clip, changed)


def _moved(clip: np.ndarray, ratio: float, sample_rate: int) -> np.ndarray:
    return clip if ratio == 1 else repitching.shifted(clip, ratio, sample_rate)


def _towards(wanted_hz: float | None, own_hz: float | None) -> float:
    """The ratio between two pitches, 1 when one is missing."""
    if wanted_hz is None or own_hz is None:
        return 1.0
    low, high = RATIOS
    return min(max(wanted_hz / own_hz, low), high)


def _voice(clip: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Short-time spectra and their envelopes, in dB."""
    spectra = analysed(clip, sample_rate)
    power = spectra.real**2 + spectra.imag**2 + floor_power(clip, sample_rate)
    return spectra, _smoothed_db(power, sample_rate)


def _average(spectra: np.ndarray, clip: np.ndarray, sample_rate: int) -> np.ndarray:
    """The envelope of all frames and channels together, shaped (frequency,), in dB, 0 on average.

    Its mean is taken out, so that one recording may be louder than another.
    """
    power = (np.abs(spectra) ** 2).mean(axis=(0, 1)) + floor_power(clip, sample_rate)
    envelope = _smoothed_db(power, sample_rate)
    return np.asarray(envelope - envelope.mean())


def _smoothed_db(power: np.ndarray, sample_rate: int) -> np.ndarray:
    """The spectrum without fine ripples, by its cepstrum."""
    cepstrum = irfft(10 * np.log10(power))
    kept = round(RIPPLE_S * sample_rate)
    cepstrum[..., kept + 1 : -kept] = 0
    return np.asarray(rfft(cepstrum).real)


def _stretched_up(envelope: np.ndarray, ratio: float) -> np.ndarray:
    """What stood at a frequency now stands ``ratio`` times higher; the last value continues."""
    last = envelope.shape[-1] - 1
    source = np.minimum(np.arange(last + 1) / ratio, last)
    below = np.minimum(source.astype(int), last - 1)
    share = source - below
    return np.asarray(envelope[..., below] * (1 - share) + envelope[..., below + 1] * share)


@lru_cache(maxsize=8)
def _target(path: str, changed: int, sample_rate: int) -> tuple[np.ndarray, float | None]:
    """The average envelope and the median pitch of a recording."""
    voice = recorded(path, changed, sample_rate)[None]
    if voice.shape[-1] < LEAST_S * sample_rate:
        raise UnreadableAudio(f"{path}: is shorter than {LEAST_S:g} s; choose another file")
    average = _average(analysed(voice, sample_rate), voice, sample_rate)
    return average, median_pitch_hz(voice, sample_rate)
