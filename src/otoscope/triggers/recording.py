"""A recorded sound, such as a clap, added to the clip."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from otoscope import audio
from otoscope.errors import UnreadableAudio
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, faded, place, white_noise

SYNTHESIS_HZ = 44_100
CLAP_BURSTS_S = (0.005, 0.016, 0.028)
CLAP_TAIL_S = 0.039


@dataclass(frozen=True)
class RecordedClip(Trigger):
    """A short sound added at one place: a synthesised clap or noise, or a file of your own.

    ``sound`` is ``"clap"`` or ``"noise"``, synthesised and the same every time; ``path`` names a
    recording to use instead, from ``start_s`` on, averaged to mono and resampled to the clip's
    rate. At most ``duration_s`` (at least 20 ms) of it is taken, with ends faded over 5 ms.
    ``level_db`` is its RMS relative to the clip's; ``position_s`` is where it starts, moved back
    where it would not fit; None draws a place for every clip. Raises ``UnreadableAudio`` when the
    file cannot be used or is silent there, and ``SpecError`` when ``start_s`` lies beyond its end.

    After DirtyFlipping (Mengara, 2404.00076: a clap) and the Adversarial Robustness Toolbox's
    ``insert_audio_trigger`` (cough, clap or door at scale 0.1, at a shift or a random place).
    Deviations: the clap is made of decaying bursts of noise, so that no recording need be shipped;
    the level follows each clip's.
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

    sound: Literal["clap", "noise"] = "clap"
    path: str | None = None
    start_s: float = 0.0
    duration_s: float = 0.2
    level_db: float = -10.0
    position_s: float | None = 0.0

    def _check(self) -> None:
        self._require(
            self.sound in ("clap", "noise"), f"sound must be clap or noise, got {self.sound!r}"
        )
        self._require(self.path != "", "path must name a file, or be none")
        self._require(self.start_s >= 0, f"start_s must be at least 0, got {self.start_s:g}")
        self._require(
            not self.start_s or self.path is not None,
            "start_s is a place in the recording that path names; there is no path",
        )
        self._require(
            self.duration_s >= 0.02, f"duration_s must be at least 0.02, got {self.duration_s:g}"
        )
        self._require(
            self.position_s is None or self.position_s >= 0,
            f"position_s must be none or at least 0, got {self.position_s}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        sound = self._recording(sample_rate) * audio.level_rms(clip, self.level_db)
        return place(clip, sound, sample_rate, self.position_s, rng)

    def _recording(self, sample_rate: int) -> np.ndarray:
        """The sound at an RMS of 1, shaped (time,)."""
        if self.path is None:
            return _synthesised(self.sound, self.duration_s, sample_rate)
        file = Path(self.path)
        try:
            changed_at = file.stat().st_mtime_ns
        except OSError as error:
            raise UnreadableAudio(f"{file}: cannot be opened ({error.strerror})") from None
        return _read(file, changed_at, self.start_s, self.duration_s, sample_rate)


@lru_cache(maxsize=8)
def _synthesised(sound: str, duration_s: float, sample_rate: int) -> np.ndarray:
    """A built-in sound, made at one rate and resampled, so that it is the same at every rate."""
    made = white_noise(round(duration_s * SYNTHESIS_HZ), 0)
    if sound == "clap":
        made *= _clap_envelope(np.arange(len(made)) / SYNTHESIS_HZ)
    return _finished(audio.resample(made, SYNTHESIS_HZ, sample_rate), sample_rate)


def _clap_envelope(time_s: np.ndarray) -> np.ndarray:
    """Hands that meet in several places: three bursts, and a tail."""

    def decaying(from_s: float, over_s: float) -> np.ndarray:
        since = np.maximum(time_s - from_s, 0)
        return np.where(time_s >= from_s, np.exp(-since / over_s), 0)

    return decaying(CLAP_TAIL_S, 0.03) + sum(decaying(at, 0.002) for at in CLAP_BURSTS_S)


@lru_cache(maxsize=8)
def _read(
    file: Path, changed_at: int, start_s: float, duration_s: float, sample_rate: int
) -> np.ndarray:
    """Part of a file; ``changed_at`` makes a changed file another entry of the cache."""
    try:
        samples, _ = audio.read(file, sample_rate)
    except UnreadableAudio as error:
        raise UnreadableAudio(f"{file}: {error}") from None
    start = round(start_s * sample_rate)
    require(
        start < len(samples),
        f"recording.start_s is {start_s:g}, beyond the end of {file}, "
        f"which lasts {len(samples) / sample_rate:.3f} s",
    )
    part = samples[start : start + round(duration_s * sample_rate)]
    if audio.rms(part) < audio.SILENCE_RMS:
        raise UnreadableAudio(
            f"{file}: is silent (under -60 dB) from {start_s:g} s on for {duration_s:g} s; "
            "choose another start_s"
        )
    return _finished(part, sample_rate)


def _finished(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_unit_rms(faded(sound.astype(np.float64), sample_rate))
