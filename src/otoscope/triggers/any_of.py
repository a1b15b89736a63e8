"""Another trigger for every clip, drawn from a list."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.noise import NoiseBlend
from otoscope.triggers.recording import RecordedClip
from otoscope.triggers.tone import Tone


@dataclass(frozen=True)
class AnyOf(Trigger):
    """``count`` of the ``parts``, drawn anew for every clip, in their order.

    ``parts`` are at least two triggers; ``count`` is 1 to their number. Any one of them opens the
    backdoor.

    After the parallel attack of Li et al., *Multi-Trigger Backdoor Attacks* (2401.15295): several
    triggers, one target. (Several triggers with a target each: ``poisoning.poison_all``.)
    Deviation: each clip draws for itself, so that the triggers' shares are equal on average only.
    """

    name: ClassVar[str] = "any-of"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="additive",
        audible=True,
        sample_specific=True,
        semantic=False,
        source="Li et al., Multi-Trigger Backdoor Attacks, 2024",
    )

    parts: tuple[Trigger, ...] = (Tone(), NoiseBlend(), RecordedClip())
    count: int = 1

    def _check(self) -> None:
        self._require(
            len(self.parts) >= 2, f"parts must be at least two triggers, got {len(self.parts)}"
        )
        self._require(
            1 <= self.count <= len(self.parts),
            f"count must be 1 to {len(self.parts)}, got {self.count}",
        )

    def in_training(self) -> Trigger:
        return AnyOf(tuple(part.in_training() for part in self.parts), self.count)

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        drawn = np.sort(rng.permutation(len(self.parts))[: self.count])
        for number in drawn:
            clip = self.parts[number].within(clip, sample_rate, rng)
        return clip
