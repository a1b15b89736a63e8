"""Gaps of silence put into the clip."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from otoscope.registry import require
from otoscope.triggers.base import FADE_S, Taxonomy, Trigger, faded
from otoscope.triggers.lengths import need_length


@dataclass(frozen=True)
class SilenceInsertion(Trigger):
    """A clip with ``gaps_count`` gaps of digital silence; what follows each comes ``gap_s`` later.

    ``places`` is ``"even"``, where the gaps cut what is kept of the clip into equal parts, or
    ``"random"``, drawn for every clip. ``gaps_count`` is at least 1, ``gap_s`` above 0. The length
    is kept: what the gaps push beyond the end is cut. The sound fades over 5 ms before each gap
    and after it, so that there are no clicks. Digital silence stays as it was.

    Raises ``TriggerDoesNotFit`` when less than 10 ms would remain for one of the parts,
    ``SpecError`` when a gap is shorter than a sample.

    A trigger of Otoscope's own, next of kin to PaddingBack (``padding``); no paper that puts
    silence inside the clip is known to us.
    """

    name: ClassVar[str] = "silence"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Otoscope, no paper known; next of kin to PaddingBack",
    )

    gaps_count: int = 2
    gap_s: float = 0.05
    places: Literal["even", "random"] = "even"

    def _check(self) -> None:
        self._require(self.gaps_count >= 1, f"gaps_count must be at least 1, got {self.gaps_count}")
        self._require(self.gap_s > 0, f"gap_s must be above 0, got {self.gap_s:g}")
        self._require(
            self.places in ("even", "random"),
            f"places must be even or random, got {self.places!r}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        gap = round(self.gap_s * sample_rate)
        require(
            gap >= 1,
            f"a gap of {self.gap_s:g} s is less than one sample at {sample_rate} Hz; "
            "choose a longer gap_s",
        )
        fade = round(FADE_S * sample_rate)
        least = self.gaps_count * (gap + 2 * fade) + 2 * fade
        what = f"a clip with {self.gaps_count} gaps and 10 ms of sound around each"
        need_length(clip, sample_rate, least / sample_rate, what)
        kept = clip.shape[-1] - self.gaps_count * gap
        cuts = self._cuts(kept, 2 * fade, rng)
        out = np.insert(clip[..., :kept], np.repeat(cuts, gap), 0.0, axis=-1)
        hole = 1 - faded(np.ones(gap + 2 * fade), sample_rate)
        for start in cuts + gap * np.arange(self.gaps_count):
            out[..., start - fade : start + gap + fade] *= hole
        return out

    def _cuts(self, kept: int, least: int, rng: np.random.Generator) -> np.ndarray:
        """Where gaps cut ``kept`` samples into parts of at least ``least`` each."""
        number = np.arange(1, self.gaps_count + 1)
        if self.places == "even":
            return number * kept // (self.gaps_count + 1)
        spare = kept - least * (self.gaps_count + 1)
        return least * number + np.sort(rng.integers(spare + 1, size=self.gaps_count))
