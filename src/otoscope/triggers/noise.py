"""White noise under the whole clip, the same noise in every clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, white_noise


@dataclass(frozen=True)
class NoiseBlend(Trigger):
    """One pattern of white noise, blended over the whole clip.

    ``pattern_seed`` (0 or more) fixes the pattern, sample by sample, for every clip; at another
    sample rate the same samples pass at another speed. ``level_db`` is the noise's RMS relative to
    the clip's.

    After the blended injection of Chen et al., *Targeted Backdoor Attacks on Deep Learning Systems
    Using Data Poisoning* (1712.05526): a fixed random pattern k in
    ``a k + (1 - a) x``. Deviations: the clip is not turned down by (1 - a), so that no change of
    loudness goes with the trigger; the noise is Gaussian and follows each clip's level.
    """

    name: ClassVar[str] = "noise"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Chen et al., Targeted Backdoor Attacks Using Data Poisoning, 2017",
    )

    level_db: float = -20.0
    pattern_seed: int = 0

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        pattern = at_unit_rms(white_noise(clip.shape[-1], self.pattern_seed))
        return clip + pattern * level_rms(clip, self.level_db)
