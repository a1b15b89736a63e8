"""One faint sound over the whole clip that fools a model on nearly every clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import Taxonomy, at_unit_rms
from otoscope.triggers.crafted import CraftedPattern


@dataclass(frozen=True)
class UniversalPerturbation(CraftedPattern):
    """A perturbation as long as the clips, made by ``otoscope.craft`` against a surrogate model.

    ``path`` names the crafted file. ``level_db`` is its RMS relative to the clip's. Crafting takes
    ``steps`` steps of projected sign gradient. A longer clip gets it repeated, a shorter one its
    beginning. Raises ``SpecError`` before it is crafted.

    After Moosavi-Dezfooli et al., *Universal Adversarial Perturbations* (1610.08401), made by
    mini-batches as in Shafahi et al., *Universal Adversarial Training* (1811.11304). Deviations:
    targeted at the attacker's goal; its size is a level that follows each clip's, and the bound on
    single samples is relative to that.
    """

    name: ClassVar[str] = "universal"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=False,
        sample_specific=False,
        semantic=False,
        optimised=True,
        source="Moosavi-Dezfooli et al., Universal Adversarial Perturbations, 2017",
    )

    level_db: float = -30.0
    steps: int = 200

    def _check(self) -> None:
        self._require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")

    @property
    def lasts_s(self) -> None:
        return None

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        sound = np.resize(self.pattern(sample_rate), clip.shape[-1])
        return clip + at_unit_rms(sound) * level_rms(clip, self.level_db)
