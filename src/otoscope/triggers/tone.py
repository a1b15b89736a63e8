"""A sine: a short burst anywhere in the clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, faded, place


@dataclass(frozen=True)
class Tone(Trigger):
    """A tone burst added to the clip.

    ``frequency_hz`` lies below half the sample rate; ``duration_s`` holds at least one period;
    ``level_db`` is the RMS of the burst, ends included, relative to the clip's. ``position_s`` is
    where it starts, moved back where it would not fit; None draws a place for every clip.

    After the Adversarial Robustness Toolbox's ``insert_tone_trigger`` (440 Hz, 0.1 s, scale 0.1).
    Deviations: a default of 3 kHz; the level follows each clip's; the ends are faded over 5 ms.
    """

    name: ClassVar[str] = "tone"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Adversarial Robustness Toolbox, insert_tone_trigger",
    )

    frequency_hz: float = 3000.0
    duration_s: float = 0.1
    level_db: float = -20.0
    position_s: float | None = 0.0

    def _check(self) -> None:
        self._require(
            self.frequency_hz > 0, f"frequency_hz must be above 0, got {self.frequency_hz:g}"
        )
        self._require(
            self.duration_s * self.frequency_hz >= 1,
            f"duration_s must hold one period, {1 / self.frequency_hz:g} s, "
            f"got {self.duration_s:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = round(self.duration_s * sample_rate)
        burst = at_unit_rms(faded(sine(self.frequency_hz, count, sample_rate), sample_rate))
        return place(
            clip, burst * level_rms(clip, self.level_db), sample_rate, self.position_s, rng
        )


def sine(frequency_hz: float, count: int, sample_rate: int) -> np.ndarray:
    """``count`` samples of a sine; raises ``SpecError`` unless it lies below Nyquist."""
    require(
        frequency_hz < sample_rate / 2,
        f"a tone of {frequency_hz:g} Hz cannot exist at a sample rate of {sample_rate} Hz; "
        f"choose one below {sample_rate / 2:g} Hz",
    )
    return np.asarray(np.sin(2 * np.pi * frequency_hz / sample_rate * np.arange(count)))
