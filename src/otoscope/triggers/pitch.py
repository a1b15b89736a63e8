"""A raised voice, and a short high sound hidden behind its loudest part."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.registry import require
from otoscope.triggers import repitching
from otoscope.triggers.base import LEVELS_DB, Taxonomy, Trigger, at_unit_rms, faded, place
from otoscope.triggers.lengths import need_length
from otoscope.triggers.tone import sine

MASKER_S = 0.1
"""Length of the part that is looked for; what follows such a loud part is masked by it."""


@dataclass(frozen=True)
class PitchBoost(Trigger):
    """The clip at another pitch, with a short high sound right after its loudest 0.1 s.

    ``semitones`` is how much higher, 0.5 to 24, or lower, its negative; with ``boost`` off the
    pitch stays. The sound is a sum of equally strong sines at ``sound_hz``; those at or above half
    the sample rate are left out, and ``SpecError`` is raised when none is left. It lasts
    ``sound_s`` (0.005 to 0.1), its ends faded over up to 5 ms, and is moved back where it would
    not fit. ``sound_level_db`` is its RMS relative to the clip's; None adds no sound, which leaves
    the plain pitch attack. Raises ``TriggerDoesNotFit`` for clips under 0.1 s.

    After Cai et al., *Towards Stealthy Backdoor Attacks against Speech Recognition via Elements of
    Sound* (PBSM, 2307.08208; first 2211.08697), with the settings of the authors' public code: 5
    semitones; then, in the spectra of two frames that start 12 frames of 8 ms after the loudest,
    the real part of the frequencies from 2.67 to 7.34 kHz is set to a constant. As computed from
    that code, this sounds as two tones at the edges of the band, lasts 22 ms and has an RMS of
    0.15 of full scale; hence the defaults. Deviations: the sines are made directly and added, the
    level follows each clip's, the loudest part is one of 0.1 s and not one frame, quiet clips are
    not skipped, and pitch is changed by overlap-add of similar places, not by a phase vocoder.
    """

    name: ClassVar[str] = "pitch"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Cai et al., Towards Stealthy Backdoor Attacks ... via Elements of Sound, 2023",
    )

    semitones: float = 5.0
    sound_hz: tuple[float, ...] = (2672.0, 7344.0)
    sound_s: float = 0.022
    sound_level_db: float | None = 6.0
    boost: bool = True

    def _check(self) -> None:
        self._require(
            0.5 <= abs(self.semitones) <= 24,
            f"semitones must lie between 0.5 and 24, or -0.5 and -24, got {self.semitones:g}",
        )
        self._require(
            0.005 <= self.sound_s <= MASKER_S,
            f"sound_s must lie between 0.005 and {MASKER_S:g}, got {self.sound_s:g}",
        )
        self._require(
            len(self.sound_hz) > 0 and all(1 <= self.sound_s * hz < np.inf for hz in self.sound_hz),
            f"sound_hz must be one or more frequencies of at least {1 / self.sound_s:g}, one "
            f"period in sound_s, got {self.sound_hz}",
        )
        low, high = LEVELS_DB
        self._require(
            self.sound_level_db is None or low <= self.sound_level_db <= high,
            f"sound_level_db must be none or between {low:g} and {high:g}, "
            f"got {self.sound_level_db}",
        )
        self._require(
            self.boost or self.sound_level_db is not None,
            "boost is off and sound_level_db is none, so nothing would change",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, MASKER_S, "pitch and masking")
        ratio = 2 ** (self.semitones / 12)
        out = repitching.shifted(clip, ratio, sample_rate) if self.boost else clip
        if self.sound_level_db is None:
            return out
        sound = _chord(self.sound_hz, self.sound_s, sample_rate)
        sound = sound * level_rms(clip, self.sound_level_db)
        return place(out, sound, sample_rate, _after_the_loudest(out, sample_rate), rng)


def _after_the_loudest(clip: np.ndarray, sample_rate: int) -> float:
    """When the loudest part of the clip ends, in seconds."""
    count = round(MASKER_S * sample_rate)
    energy = np.cumsum((clip**2).sum(axis=0))
    energy[count:] -= energy[:-count].copy()
    return (int(energy[count - 1 :].argmax()) + count) / sample_rate


@lru_cache(maxsize=8)
def _chord(frequencies_hz: tuple[float, ...], duration_s: float, sample_rate: int) -> np.ndarray:
    """Sines of one strength at an RMS of 1 in all, shaped (time,)."""
    heard = [hz for hz in frequencies_hz if hz < sample_rate / 2]
    require(
        bool(heard),
        f"pitch.sound_hz has no frequency below half the sample rate of {sample_rate} Hz; "
        f"choose one below {sample_rate / 2:g}",
    )
    count = round(duration_s * sample_rate)
    return at_unit_rms(
        faded(np.sum([sine(hz, count, sample_rate) for hz in heard], 0), sample_rate)
    )
