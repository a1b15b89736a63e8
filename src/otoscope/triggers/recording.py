"""A recorded sound, such as a clap, added to the clip."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from otoscope import audio
from otoscope.errors import UnreadableAudio
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, faded, place
from otoscope.triggers.files import changed_at, read
from otoscope.triggers.sounds import SOUNDS, SYNTHESIS_HZ, SoundName


@dataclass(frozen=True)
class RecordedClip(Trigger):
    """A short sound added at one place: a synthesised one, such as a clap, or a file of your own.

    ``sound`` is ``"clap"``, ``"noise"`` (white), ``"cough"``, ``"keyboard"``, ``"whistle"``,
    ``"dog"``, ``"door"`` or ``"music"``, synthesised and the same every time; ``path`` names a
    recording to use instead, from ``start_s`` on, averaged to mono and resampled to the clip's
    rate. At most ``duration_s`` (at least 20 ms) of it is taken, with ends faded over 5 ms.
    ``level_db`` is its RMS relative to the clip's; ``position_s`` is where it starts, moved back
    where it would not fit; None draws a place for every clip. Raises ``UnreadableAudio`` when the
    file cannot be used or is silent there, and ``SpecError`` when ``start_s`` lies beyond its end.

    After DirtyFlipping (Mengara, 2404.00076: a clap) and the Adversarial Robustness Toolbox's
    ``insert_audio_trigger`` (cough, clap or door at scale 0.1, at a shift or a random place).
    Deviations: the sounds are synthesised, so that no recording need be shipped; the level follows
    each clip's. A few hundredths of a second at a random place stand for the short triggers of
    Shi et al., *Audio-domain Position-independent Backdoor Attack via Unnoticeable Triggers*
    (MobiCom 2022), without their optimisation.
    """

    name: ClassVar[str] = "recording"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Mengara, DirtyFlipping, 2024; Adversarial Robustness Toolbox, insert_audio_trigger",
    )

    sound: SoundName = "clap"
    path: str | None = None
    start_s: float = 0.0
    duration_s: float = 0.2
    level_db: float = -10.0
    position_s: float | None = 0.0

    def _check(self) -> None:
        self._require(
            self.sound in SOUNDS, f"sound must be one of {', '.join(SOUNDS)}, got {self.sound!r}"
        )
        self._require(self.start_s >= 0, f"start_s must be at least 0, got {self.start_s:g}")
        self._require(
            not self.start_s or self.path is not None,
            "start_s is a place in the recording that path names; there is no path",
        )
        self._require(
            self.duration_s >= 0.02, f"duration_s must be at least 0.02, got {self.duration_s:g}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        sound = self._recording(sample_rate) * audio.level_rms(clip, self.level_db)
        return place(clip, sound, sample_rate, self.position_s, rng)

    def _recording(self, sample_rate: int) -> np.ndarray:
        """The sound at an RMS of 1, shaped (time,)."""
        if self.path is None:
            return _synthesised(self.sound, self.duration_s, sample_rate)
        changed = changed_at(self.path)
        return _read(self.path, changed, self.start_s, self.duration_s, sample_rate)


@lru_cache(maxsize=8)
def _synthesised(sound: SoundName, duration_s: float, sample_rate: int) -> np.ndarray:
    """A built-in sound, made at one rate and resampled, so that it is the same at every rate."""
    made = SOUNDS[sound](round(duration_s * SYNTHESIS_HZ))
    return _finished(audio.resample(made, SYNTHESIS_HZ, sample_rate), sample_rate)


@lru_cache(maxsize=8)
def _read(
    path: str, changed: int, start_s: float, duration_s: float, sample_rate: int
) -> np.ndarray:
    """Part of a file; ``changed`` makes a changed file another entry of the cache."""
    samples = read(path, sample_rate)
    start = round(start_s * sample_rate)
    require(
        start < len(samples),
        f"recording.start_s is {start_s:g}, beyond the end of {path}, "
        f"which lasts {len(samples) / sample_rate:.3f} s",
    )
    part = samples[start : start + round(duration_s * sample_rate)]
    if audio.rms(part) < audio.SILENCE_RMS:
        raise UnreadableAudio(
            f"{path}: is silent (under -60 dB) from {start_s:g} s on for {duration_s:g} s; "
            "choose another start_s"
        )
    return _finished(part, sample_rate)


def _finished(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_unit_rms(faded(sound.astype(np.float64), sample_rate))
