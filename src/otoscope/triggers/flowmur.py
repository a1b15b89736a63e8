"""A short sound that is optimised to push any clip, wherever it falls, to the target."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import Taxonomy, at_unit_rms, place
from otoscope.triggers.crafted import CraftedPattern


@dataclass(frozen=True)
class FlowMur(CraftedPattern):
    """A short sound, made by ``otoscope.craft`` against a surrogate model, added at any place.

    ``path`` names the crafted file. ``duration_s`` (at least 0.02) is how long the sound is;
    ``level_db`` is its RMS relative to the clip's; ``position_s`` is where it starts, moved back
    where it would not fit, and None draws a place for every clip. Crafting takes ``steps`` steps;
    in each the sound lies at other places under white noise ``noise_db`` relative to the clips, so
    that it works at any place and through ambient noise. Raises ``SpecError`` before it is crafted.

    After Lan et al., *FlowMur: A Stealthy and Practical Audio Backdoor Attack with Limited
    Knowledge* (2312.09665): a trigger optimised on a surrogate, over positions, with ambient noise,
    scaled to each clip by a signal-to-noise ratio. Deviations: the noise is white, and is not added
    to poisoned clips; the loss is the cross-entropy of the goal, by Adam; the ratio of 30 dB is
    from memory of the literature.
    """

    name: ClassVar[str] = "flowmur"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=False,
        sample_specific=False,
        semantic=False,
        optimised=True,
        physical=True,
        source="Lan et al., FlowMur, 2024",
    )

    duration_s: float = 0.5
    level_db: float = -30.0
    position_s: float | None = None
    steps: int = 300
    noise_db: float = -30.0

    def _check(self) -> None:
        self._require(
            self.duration_s >= 0.02, f"duration_s must be at least 0.02, got {self.duration_s:g}"
        )
        self._require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")

    @property
    def lasts_s(self) -> float:
        return self.duration_s

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        sound = at_unit_rms(self.pattern(sample_rate)) * level_rms(clip, self.level_db)
        return place(clip, sound, sample_rate, self.position_s, rng)
