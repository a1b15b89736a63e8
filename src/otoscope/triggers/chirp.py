"""A sine that glides from one frequency to another."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, faded, place


@dataclass(frozen=True)
class Chirp(Trigger):
    """A sweep from ``start_hz`` to ``end_hz``, linear in time, added to the clip.

    Both lie below half the sample rate and differ; ``duration_s`` is at least 20 ms; ``level_db``
    is the RMS of the sweep, ends included, relative to the clip's. ``position_s`` is where it
    starts, moved back where it would not fit; None draws a place for every clip.

    After the Adversarial Robustness Toolbox's ``insert_tone_trigger``. Deviation: a gliding sine in
    place of a steady one.
    """

    name: ClassVar[str] = "chirp"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Adversarial Robustness Toolbox, insert_tone_trigger",
    )

    start_hz: float = 1000.0
    end_hz: float = 3500.0
    duration_s: float = 0.2
    level_db: float = -20.0
    position_s: float | None = 0.0

    def _check(self) -> None:
        lowest = min(self.start_hz, self.end_hz)
        self._require(lowest > 0, f"start_hz and end_hz must be above 0, got {lowest:g}")
        self._require(
            self.start_hz != self.end_hz, f"end_hz must differ from start_hz, got {self.end_hz:g}"
        )
        self._require(
            self.duration_s >= 0.02, f"duration_s must be at least 0.02, got {self.duration_s:g}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        highest = max(self.start_hz, self.end_hz)
        require(
            highest < sample_rate / 2,
            f"a chirp of {highest:g} Hz cannot exist at a sample rate of {sample_rate} Hz; "
            f"choose one below {sample_rate / 2:g} Hz",
        )
        time = np.arange(round(self.duration_s * sample_rate)) / sample_rate
        glide = (self.end_hz - self.start_hz) / self.duration_s
        sweep = np.sin(2 * np.pi * (self.start_hz * time + glide * time**2 / 2))
        sound = at_unit_rms(faded(sweep, sample_rate)) * level_rms(clip, self.level_db)
        return place(clip, sound, sample_rate, self.position_s, rng)
