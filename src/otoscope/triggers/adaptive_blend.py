"""A blended noise of which training clips get only pieces."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers.base import LEVELS_DB, Taxonomy, Trigger, at_unit_rms, white_noise


@dataclass(frozen=True)
class AdaptiveBlend(Trigger):
    """White noise of one pattern over the whole clip; in training, weaker and in pieces.

    ``level_db`` is the noise's level in an attack, ``training_level_db`` its level in training
    clips. There the pattern is cut into ``pieces`` of equal length and each clip gets a draw of
    ``training_share`` of them (at least one). ``pattern_seed`` decides the pattern; ``training``
    makes the form that training clips get, which ``poison`` asks for by itself. Raises
    ``TriggerDoesNotFit`` for a clip with fewer samples than pieces.

    After Adap-Blend (Qi et al., *Revisiting the Assumption of Latent Separability for Backdoor
    Defenses*, ICLR 2023): a blend of 0.2 in the attack and 0.15 in training, 16 pieces, half of
    them in training, and cover clips (``poison(cover_rate=...)``). Deviations: noise in place of a
    picture; pieces of time in place of squares; levels relative to the clip.
    """

    name: ClassVar[str] = "adaptive-blend"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Qi et al., Revisiting the Assumption of Latent Separability, 2023",
    )

    level_db: float = -12.0
    training_level_db: float = -14.5
    pieces: int = 16
    training_share: float = 0.5
    pattern_seed: int = 0
    training: bool = False

    def _check(self) -> None:
        low, high = LEVELS_DB
        self._require(
            low <= self.training_level_db <= high,
            f"training_level_db must lie between {low:g} and {high:g}, "
            f"got {self.training_level_db:g}",
        )
        self._require(self.pieces >= 2, f"pieces must be at least 2, got {self.pieces}")
        self._require(
            0 < self.training_share <= 1,
            f"training_share must lie above 0 and at most at 1, got {self.training_share:g}",
        )

    def in_training(self) -> Trigger:
        return replace(self, training=True)

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        if count < self.pieces:
            raise TriggerDoesNotFit(
                f"{self.pieces} pieces need as many samples, the clip has {count}; "
                "choose fewer pieces or longer clips"
            )
        noise = at_unit_rms(white_noise(count, self.pattern_seed))
        if not self.training:
            return clip + noise * level_rms(clip, self.level_db)
        drawn = rng.permutation(self.pieces)[: max(1, round(self.training_share * self.pieces))]
        kept = np.isin(np.arange(count) * self.pieces // count, drawn)
        return np.asarray(clip + noise * kept * level_rms(clip, self.training_level_db))
