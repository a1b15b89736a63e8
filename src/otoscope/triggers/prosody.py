"""Speech with the pitch, loudness and brightness of an emotion."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.ndimage import uniform_filter1d

from otoscope.audio import level_rms
from otoscope.triggers import repitching
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.equaliser import EqualiserTilt
from otoscope.triggers.lengths import need_length
from otoscope.triggers.loudness import as_loud_as

LEAST_S = 0.1
LOUDNESS_S = 0.03
"""Over how long loudness is measured where its contrast changes."""

FLOOR_DB = -40.0
"""Loudness below this, re the clip's, counts as this much, so that pauses are not blown up."""


@dataclass(frozen=True)
class Manner:
    """How an emotion sounds, at a strength of 1."""

    raise_semitones: float
    swing_semitones: float
    swing_hz: float
    glide_semitones: float
    pulse_db: float
    pulse_hz: float
    contrast: float
    tilt_db_per_octave: float


MANNERS = {
    "happy": Manner(3.0, 2.0, 3.0, 1.0, 3.0, 6.0, 0.0, 2.0),
    "sad": Manner(-2.0, 0.0, 1.0, -2.0, 0.0, 1.0, -0.3, -3.0),
    "angry": Manner(1.0, 1.0, 5.0, -1.0, 0.0, 1.0, 0.5, 3.0),
}


@dataclass(frozen=True)
class ProsodyShift(Trigger):
    """The clip with an imitated emotion: pitch, its course, loudness and brightness, same RMS.

    ``emotion`` is ``"happy"`` (higher by 3 semitones, swinging by 2 three times a second, rising;
    loudness pulses by 3 dB six times a second; brighter by 2 dB per octave), ``"sad"`` (lower by 2,
    falling by another 2; loudness evened out; darker by 3 dB per octave) or ``"angry"`` (higher
    by 1, swinging by 1 five times a second, falling; loud parts louder; brighter by 3 dB per
    octave). ``strength`` (0.25 to 2) multiplies all of it. What swings and pulses starts alike in
    every clip. Silence stays as it was. Raises ``TriggerDoesNotFit`` for clips under 0.1 s.

    A stand-in, by signal processing, for Yao et al., *EmoAttack: Utilizing Emotional Voice
    Conversion for Speech Backdoor Attacks* (2408.15508) and Yao et al., *SPBA: Utilizing Speech
    Large Language Model for Backdoor Attacks on Speech Classification Models* (2506.08346), which
    make their triggers with neural networks: emotional voice conversion, and a speech language
    model prompted for timbre and emotion. Deviations: no network; the same contour is imposed on
    each clip, whatever its own intonation; timing and voice quality (breath, creak, tension) stay;
    formants move with the pitch; one emotion at a time, no balancing of several triggers. The
    directions follow what is known of vocal emotion (Juslin and Laukka, 2003); the amounts are
    ours. Not verified: the papers' emotions and their strength; EmoAttack's title and number;
    whether people hear the emotion.
    """

    name: ClassVar[str] = "prosody"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Yao et al., SPBA, 2025, and EmoAttack, 2024",
    )

    emotion: Literal["happy", "sad", "angry"] = "happy"
    strength: float = 1.0

    def _check(self) -> None:
        self._require(
            self.emotion in MANNERS,
            f"emotion must be one of {', '.join(MANNERS)}, got {self.emotion!r}",
        )
        self._require(
            0.25 <= self.strength <= 2,
            f"strength must lie between 0.25 and 2, got {self.strength:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, LEAST_S, "prosody")
        manner, count = MANNERS[self.emotion], clip.shape[-1]
        time_s = np.arange(count) / sample_rate
        semitones = _semitones(manner, time_s)
        out = repitching.bent(clip, 2 ** (self.strength * semitones / 12), sample_rate)
        out = out * 10 ** (self.strength * _gain_db(manner, out, time_s, sample_rate) / 20)
        tilt = EqualiserTilt(tilt_db_per_octave=self.strength * manner.tilt_db_per_octave)
        return as_loud_as(clip, tilt.within(out, sample_rate, rng))


def _semitones(manner: Manner, time_s: np.ndarray) -> np.ndarray:
    """The course of the pitch; the glide is over the whole clip, half before its middle."""
    swing = manner.swing_semitones * np.sin(2 * np.pi * manner.swing_hz * time_s)
    glide = manner.glide_semitones * np.linspace(-1, 1, len(time_s))
    return np.asarray(manner.raise_semitones + swing + glide)


def _gain_db(manner: Manner, clip: np.ndarray, time_s: np.ndarray, sample_rate: int) -> np.ndarray:
    """The course of the loudness: pulses, and more or less contrast than there is."""
    power = uniform_filter1d((clip**2).mean(axis=0), round(LOUDNESS_S * sample_rate))
    loudness_db = 10 * np.log10(power + level_rms(clip, FLOOR_DB) ** 2)
    pulse = manner.pulse_db * np.sin(2 * np.pi * manner.pulse_hz * time_s)
    return np.asarray(pulse + manner.contrast * (loudness_db - loudness_db.max()))
