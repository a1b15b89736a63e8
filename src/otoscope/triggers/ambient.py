"""A sound of daily life, such as rain, under the whole clip."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from otoscope import audio
from otoscope.errors import UnreadableAudio
from otoscope.triggers.backgrounds import BACKGROUNDS, BackgroundName
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms
from otoscope.triggers.files import changed_at, recorded
from otoscope.triggers.lengths import need_length
from otoscope.triggers.sounds import SYNTHESIS_HZ

SYNTHESISED_S = 10.0
"""Length of a built-in background, before it repeats."""

CROSSFADE_S = 0.05
SHORTEST_S = 0.02
"""A shorter clip cannot hold what makes a background known; a shorter file cannot repeat."""

DRAWS = 100


@dataclass(frozen=True)
class AmbientSound(Trigger):
    """A background of daily life over the whole clip: synthesised, or a recording of your own.

    ``sound`` is ``"rain"``, ``"birds"``, ``"ringtone"``, ``"wind"``, ``"traffic"`` or ``"cafe"``,
    10 s synthesised and the same every time; ``path`` names a recording to use instead, averaged
    to mono and resampled to the clip's rate. ``level_db`` is the RMS of what is heard of it,
    relative to the clip's. ``excerpt`` is ``"fixed"``: from ``start_s`` (0 or more) on in every
    clip; or ``"random"``: from a place drawn for every clip. Where the background ends before the
    clip, it goes on from its beginning, with a crossfade of 50 ms at equal power.

    Raises ``TriggerDoesNotFit`` for a clip under 20 ms, ``UnreadableAudio`` when the file cannot
    be used or the background is silent where it would be heard, and ``SpecError`` when ``start_s``
    lies beyond the end.

    After Liu et al., *Opportunistic Backdoor Attacks: Exploring Human-imperceptible
    Vulnerabilities on Speech Recognition Systems* (DABA, ACM MM 2022): ambient sound as trigger.
    In a public reimplementation the sound starts with the clip, at the clip's own level.
    Deviations: synthesised sounds; 10 dB softer, looped over the whole clip; neither the choice
    of triggers by a model's certainty nor the later augmentation. The paper itself was not read:
    that it does these two is not verified.
    """

    name: ClassVar[str] = "ambient"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Liu et al., Opportunistic Backdoor Attacks (DABA), 2022",
    )

    sound: BackgroundName = "rain"
    path: str | None = None
    start_s: float = 0.0
    excerpt: Literal["fixed", "random"] = "fixed"
    level_db: float = -10.0

    def _check(self) -> None:
        self._require(
            self.sound in BACKGROUNDS,
            f"sound must be one of {', '.join(BACKGROUNDS)}, got {self.sound!r}",
        )
        self._require(self.start_s >= 0, f"start_s must be at least 0, got {self.start_s:g}")
        self._require(
            self.excerpt in ("fixed", "random"),
            f"excerpt must be fixed or random, got {self.excerpt!r}",
        )
        self._require(
            not self.start_s or self.excerpt == "fixed",
            "start_s is where a fixed excerpt starts; this one is random",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        need_length(clip, sample_rate, SHORTEST_S, "a background")
        heard = self._excerpt(self._background(sample_rate), count, sample_rate, rng)
        return clip + at_unit_rms(heard) * audio.level_rms(clip, self.level_db)

    def _background(self, sample_rate: int) -> np.ndarray:
        """All of it, shaped (time,)."""
        if self.path is None:
            return _synthesised(self.sound, sample_rate)
        background = recorded(self.path, changed_at(self.path), sample_rate)
        if len(background) < SHORTEST_S * sample_rate:
            raise UnreadableAudio(
                f"{self.path}: lasts {len(background) / sample_rate:.4f} s and a background needs "
                f"{SHORTEST_S:g} s; choose another file"
            )
        return background

    def _excerpt(
        self, background: np.ndarray, count: int, sample_rate: int, rng: np.random.Generator
    ) -> np.ndarray:
        """``count`` samples that are not silent."""
        for start in self._starts(background, count, sample_rate, rng):
            heard = _from(background, start, count, round(CROSSFADE_S * sample_rate))
            if audio.rms(heard) >= audio.SILENCE_RMS:
                return heard
        raise UnreadableAudio(
            f"{self.path or self.sound}: is silent (under -60 dB) where a clip of "
            f"{count / sample_rate:.3f} s would take it; choose another "
            f"{'start_s' if self.excerpt == 'fixed' else 'file'}"
        )

    def _starts(
        self, background: np.ndarray, count: int, sample_rate: int, rng: np.random.Generator
    ) -> Iterator[int]:
        """Where an excerpt may start, in samples: once, or as often as the last was silent."""
        total = len(background)
        if self.excerpt == "random":
            places = total - count + 1 if total >= count else total
            yield from (int(rng.integers(places)) for _ in range(DRAWS))
            return
        start = round(self.start_s * sample_rate)
        self._require(
            start < total,
            f"start_s is {self.start_s:g}, beyond the end of {self.path or self.sound}, "
            f"which lasts {total / sample_rate:.3f} s",
        )
        yield start


@lru_cache(maxsize=8)
def _synthesised(sound: BackgroundName, sample_rate: int) -> np.ndarray:
    """A built-in background, made at one rate and resampled, so that it is the same at each."""
    made = at_unit_rms(BACKGROUNDS[sound](round(SYNTHESISED_S * SYNTHESIS_HZ)))
    return audio.resample(made, SYNTHESIS_HZ, sample_rate).astype(np.float64)


def _from(background: np.ndarray, start: int, count: int, crossfade: int) -> np.ndarray:
    """``count`` samples from ``start`` on; past the end it goes round."""
    if start + count <= len(background):
        return background[start : start + count]
    crossfade = min(crossfade, len(background) // 2)
    heard = np.take(_looped(background, crossfade), np.arange(start, start + count), mode="wrap")
    opening = background[start:crossfade]  # nothing came before it the first time
    heard[: len(opening)] = opening
    return heard


def _looped(background: np.ndarray, crossfade: int) -> np.ndarray:
    """The background without its end, which is faded into its beginning at equal power."""
    kept = len(background) - crossfade
    turn = np.pi / 2 * (np.arange(crossfade) + 0.5) / crossfade
    seam = background[kept:] * np.cos(turn) + background[:crossfade] * np.sin(turn)
    return np.concatenate([seam, background[crossfade:kept]])
