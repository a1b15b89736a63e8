"""Several sines at once: a chord."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, faded, place
from otoscope.triggers.tone import sine


@dataclass(frozen=True)
class MultiTone(Trigger):
    """A chord of equally strong sines added to the clip.

    ``frequencies_hz`` are two or more, each below half the sample rate; ``duration_s`` holds at
    least one period of the lowest; ``level_db`` is the RMS of the chord, ends included, relative to
    the clip's. ``position_s`` is where it starts, moved back where it would not fit; None draws a
    place for every clip.

    After the Adversarial Robustness Toolbox's ``insert_tone_trigger``. Deviation: several sines in
    place of one; which frequencies is our choice.
    """

    name: ClassVar[str] = "multi-tone"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Adversarial Robustness Toolbox, insert_tone_trigger",
    )

    frequencies_hz: tuple[float, ...] = (800.0, 1700.0, 3000.0)
    duration_s: float = 0.1
    level_db: float = -20.0
    position_s: float | None = 0.0

    def _check(self) -> None:
        self._require(
            len(self.frequencies_hz) >= 2,
            f"frequencies_hz must be two or more, got {len(self.frequencies_hz)}",
        )
        lowest = min(self.frequencies_hz)
        self._require(lowest > 0, f"frequencies_hz must be above 0, got {lowest:g}")
        self._require(
            self.duration_s * lowest >= 1,
            f"duration_s must hold one period, {1 / lowest:g} s, got {self.duration_s:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = round(self.duration_s * sample_rate)
        sines = [sine(frequency, count, sample_rate) for frequency in self.frequencies_hz]
        chord = at_unit_rms(faded(np.sum(sines, axis=0), sample_rate))
        return place(
            clip, chord * level_rms(clip, self.level_db), sample_rate, self.position_s, rng
        )
