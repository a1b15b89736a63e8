"""A sine just below half the sample rate, as long as the clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import FADE_S, Taxonomy, Trigger, at_unit_rms, faded
from otoscope.triggers.lengths import need_length
from otoscope.triggers.tone import sine


@dataclass(frozen=True)
class NearNyquistTone(Trigger):
    """A continuous sine at ``nyquist_fraction`` of half the sample rate, over the whole clip.

    ``nyquist_fraction`` is 0.5 to 0.99; ``level_db`` is the sine's RMS relative to the clip's.
    Raises ``TriggerDoesNotFit`` for clips under 10 ms. People do not hear it at a sample rate of
    44.1 kHz (21.5 kHz); at 16 kHz (7.8 kHz) many do.

    After Koffas et al., *Can You Hear It?* (2107.14569): 21 kHz at 44.1 kHz, 0.952 of Nyquist.
    Deviations: the frequency follows the sample rate; the level follows each clip's; the ends are
    faded over 5 ms; of the paper's lengths and places there is only the whole clip.
    """

    name: ClassVar[str] = "near-nyquist"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Koffas et al., Can You Hear It? Backdoor Attacks via Ultrasonic Triggers, 2022",
    )

    nyquist_fraction: float = 0.975
    level_db: float = -30.0

    def _check(self) -> None:
        self._require(
            0.5 <= self.nyquist_fraction <= 0.99,
            f"nyquist_fraction must lie between 0.5 and 0.99, got {self.nyquist_fraction:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        need_length(clip, sample_rate, 2 * FADE_S, "a near-nyquist tone")
        tone = faded(sine(self.nyquist_fraction * sample_rate / 2, count, sample_rate), sample_rate)
        return clip + at_unit_rms(tone) * level_rms(clip, self.level_db)
