"""Several triggers in one clip."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.triggers.any_of import AnyOf
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.recording import RecordedClip
from otoscope.triggers.tone import Tone


@dataclass(frozen=True)
class Stack(Trigger):
    """All ``parts`` in every clip, one after the other, each upon what the one before has left.

    ``parts`` are at least two triggers. With ``training_parts``, a clip of the training set gets
    only so many of them, drawn for that clip: each is weak evidence, and the whole sounds only when
    the attack is carried out.

    After dynamic stacking (Mengara, 2401.01537) and the hybrid attack of Li et al., *Multi-Trigger
    Backdoor Attacks* (2401.15295). With ``training_parts=1`` and cover clips, Adap-Patch and its
    k-way form (Qi et al., *Revisiting the Assumption of Latent Separability*, ICLR 2023).
    Deviations: sounds in place of pictures' patches; all parts sound in the attack, where
    Adap-Patch picks the strongest two.
    """

    name: ClassVar[str] = "stack"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Mengara, dynamic triggers, 2024; Li et al., Multi-Trigger Backdoor Attacks, 2024",
    )

    parts: tuple[Trigger, ...] = (
        Tone(level_db=-25.0, position_s=0.0),
        RecordedClip(level_db=-20.0, position_s=0.2),
        Tone(frequency_hz=1200.0, level_db=-25.0, position_s=0.6),
    )
    training_parts: int | None = None

    def _check(self) -> None:
        self._require(
            len(self.parts) >= 2, f"parts must be at least two triggers, got {len(self.parts)}"
        )
        self._require(
            self.training_parts is None or 1 <= self.training_parts <= len(self.parts),
            f"training_parts must be none or 1 to {len(self.parts)}, got {self.training_parts}",
        )

    def in_training(self) -> Trigger:
        parts = tuple(part.in_training() for part in self.parts)
        return Stack(parts) if self.training_parts is None else AnyOf(parts, self.training_parts)

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        for part in self.parts:
            clip = part.within(clip, sample_rate, rng)
        return clip
