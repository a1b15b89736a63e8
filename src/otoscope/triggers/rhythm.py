"""Speech told at an uneven pace, at its pitch and in its voice."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.lengths import need_length
from otoscope.triggers.vocoder import retimed

FRAME_S = 0.02
ACTIVE_DB = -30.0
"""Frames at or above this, re the loudest, are speech."""


@dataclass(frozen=True)
class RhythmTransform(Trigger):
    """A clip whose speech is stretched and squeezed in turn, as long as before in all.

    From the first to the last frame of 20 ms within 30 dB of the loudest, speech is cut into equal
    segments of about ``segment_s`` (0.03 or more), two at least. Every other one is stretched by a
    factor drawn between the root of ``strength`` and ``strength`` (1.05 to 3), those between are
    squeezed by factors drawn in the same way; then all are scaled so that speech ends where it
    ended. What comes first, and the factors, are drawn with ``pattern_seed`` (0 or more), the same
    for each clip, or, when that is None, for every clip. Pitch and timbre stay, all up to 15 ms
    before the speech stays as it was, and what comes after it stays within 7.5 ms of its place.
    Silence stays as it was.

    Raises ``TriggerDoesNotFit`` when the clip is shorter than two segments. Speech that is
    shorter takes what is around it into its segments.

    After Yao et al., *Imperceptible Rhythm Backdoor Attacks: Exploring Rhythm Transformation for
    Embedding Undetectable Vulnerabilities on Speech Recognition* (RSRT, 2406.10932): speech found
    by its energy, stretched or squeezed as a mel spectrogram, made sound by a neural vocoder, and
    put back between its silences. Deviations: the waveform is stretched by overlap-add of similar
    places, without any network; stretched and squeezed segments alternate, so that the length is
    kept. Not verified: the paper's factors and lengths of segments; these are ours.
    """

    name: ClassVar[str] = "rhythm"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=True,
        source="Yao et al., Imperceptible Rhythm Backdoor Attacks, 2024",
    )

    strength: float = 1.6
    segment_s: float = 0.12
    pattern_seed: int | None = 0

    def _check(self) -> None:
        self._require(
            1.05 <= self.strength <= 3,
            f"strength must lie between 1.05 and 3, got {self.strength:g}",
        )
        self._require(
            self.segment_s >= 0.03, f"segment_s must be at least 0.03, got {self.segment_s:g}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, 2 * self.segment_s, "two segments of the rhythm")
        segment, count = self.segment_s * sample_rate, clip.shape[-1]
        first, last = _speech(clip, round(FRAME_S * sample_rate), round(2 * segment))
        sources = np.linspace(first, last, max(2, round((last - first) / segment)) + 1)
        share = np.cumsum(self._factors(len(sources) - 1, rng))
        moments = sources.copy()
        moments[1:-1] = first + (last - first) * share[:-1] / share[-1]
        return retimed(clip, _with_ends(moments, count), _with_ends(sources, count), sample_rate)

    def _factors(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """How much longer each segment becomes, before all are scaled to their length."""
        draw = rng if self.pattern_seed is None else np.random.default_rng(self.pattern_seed)
        turns = (-1.0) ** (np.arange(count) + draw.integers(2))
        return np.asarray(self.strength ** (turns * draw.uniform(0.5, 1, count)))


def _speech(clip: np.ndarray, frame: int, least: int) -> tuple[int, int]:
    """Where speech begins and ends, at least ``least`` samples apart."""
    count = clip.shape[-1]
    power = np.add.reduceat((clip**2).sum(axis=0), np.arange(0, count, frame))
    loud = np.flatnonzero(power >= power.max() * 10 ** (ACTIVE_DB / 10))
    first, last = int(loud[0]) * frame, min((int(loud[-1]) + 1) * frame, count)
    missing = max(0, least - (last - first))
    first = min(max(0, first - missing // 2), count - max(least, last - first))
    return first, max(last, first + least)


def _with_ends(places: np.ndarray, count: int) -> np.ndarray:
    """``places`` between the clip's ends, none of them twice."""
    return np.unique([0.0, *places, count])
