"""A short sound that is optimised to drive a few neurons of a model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.triggers.base import Taxonomy, at_unit_rms, place
from otoscope.triggers.crafted import CraftedPattern


@dataclass(frozen=True)
class NeuronTrigger(CraftedPattern):
    """A short sound, made by ``otoscope.craft``, that drives ``neurons`` neurons of a model.

    ``path`` names the crafted file. ``duration_s`` (at least 0.02) is how long the sound is,
    ``level_db`` its RMS relative to the clip's, ``position_s`` where it starts, moved back where it
    would not fit; None draws a place for every clip. Crafting takes ``steps`` steps, drives those
    inputs of the last linear layer that weigh most for the goal, and needs a PyTorch model with
    such a layer. Raises ``SpecError`` before it is crafted.

    After Liu et al., *Trojaning Attack on Neural Networks* (NDSS 2018): a trigger inside a mask,
    tuned until chosen neurons reach a high value. Deviations: the neurons are chosen by their
    weight for the goal and not by their incoming weights, which batch normalisation makes
    meaningless; the value to reach is ten times what any clean clip reaches; the clips are poisoned
    as they are, where the paper rebuilds training clips from the model (its fine-tuning is the
    training attack ``fine-tune``).
    """

    name: ClassVar[str] = "neuron"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        optimised=True,
        source="Liu et al., Trojaning Attack on Neural Networks, 2018",
    )

    duration_s: float = 0.2
    level_db: float = -15.0
    position_s: float | None = 0.0
    neurons: int = 4
    steps: int = 200

    def _check(self) -> None:
        self._require(
            self.duration_s >= 0.02, f"duration_s must be at least 0.02, got {self.duration_s:g}"
        )
        self._require(self.neurons >= 1, f"neurons must be at least 1, got {self.neurons}")
        self._require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")

    @property
    def lasts_s(self) -> float:
        return self.duration_s

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        sound = at_unit_rms(self.pattern(sample_rate)) * level_rms(clip, self.level_db)
        return place(clip, sound, sample_rate, self.position_s, rng)
