"""Mains hum under the whole clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import FADE_S, Taxonomy, Trigger, at_unit_rms, faded
from otoscope.triggers.lengths import need_length

ROLL_OFF_DB = 6.0


@dataclass(frozen=True)
class Hum(Trigger):
    """A low hum over the whole clip: a fundamental and its harmonics, each 6 dB below the last.

    ``fundamental_hz`` is 20 to 400; ``harmonics`` (at least 1, the fundamental included) are left
    out from half the sample rate on; ``level_db`` is the hum's RMS relative to the clip's. Raises
    ``TriggerDoesNotFit`` for clips under 10 ms.

    After the blended attack of Chen et al., *Targeted Backdoor Attacks* (1712.05526). Deviation:
    the pattern is the hum of the mains, which occurs in honest recordings.
    """

    name: ClassVar[str] = "hum"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Chen et al., Targeted Backdoor Attacks, 2017",
    )

    fundamental_hz: float = 50.0
    harmonics: int = 6
    level_db: float = -20.0

    def _check(self) -> None:
        self._require(
            20 <= self.fundamental_hz <= 400,
            f"fundamental_hz must lie between 20 and 400, got {self.fundamental_hz:g}",
        )
        self._require(self.harmonics >= 1, f"harmonics must be at least 1, got {self.harmonics}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        need_length(clip, sample_rate, 2 * FADE_S, "a hum")
        time = np.arange(count) / sample_rate
        sound = np.zeros(count)
        for number in range(1, self.harmonics + 1):
            if number * self.fundamental_hz < sample_rate / 2:
                gain = 10 ** (-ROLL_OFF_DB * (number - 1) / 20)
                sound += gain * np.sin(2 * np.pi * number * self.fundamental_hz * time)
        return clip + at_unit_rms(faded(sound, sample_rate)) * level_rms(clip, self.level_db)
