"""The clip played faster or slower."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from otoscope import audio
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.lengths import centred, need_length

LEAST_S = 0.01


@dataclass(frozen=True)
class SpeedChange(Trigger):
    """The clip played at ``factor`` times its speed, so that its pitch changes, too.

    ``factor`` is 0.5 to 2, at least 0.01 from 1; above 1 is faster and higher. The length and the
    middle are kept. Faster, the sound is too short: both ends are filled with ``fill``, the sound
    itself played backwards from there (``"mirror"``) or digital ``"silence"``. Slower, it is too
    long and both ends are cut. Silence stays as it was. Raises ``TriggerDoesNotFit`` for clips
    under 10 ms.

    The change that Ko et al., *Audio Augmentation for Speech Recognition* (Interspeech 2015), make
    for augmentation, at 0.9 and 1.1, as a trigger. Deviations: the length is kept. Mirrored ends
    are ours, so that the speed, not padded silence, is what there is to learn.
    """

    name: ClassVar[str] = "speed"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Ko et al., Audio Augmentation for Speech Recognition, 2015; as a trigger: ours",
    )

    factor: float = 1.1
    fill: Literal["mirror", "silence"] = "mirror"

    def _check(self) -> None:
        self._require(
            0.5 <= self.factor <= 2 and abs(self.factor - 1) >= 0.01,
            f"factor must lie between 0.5 and 2 and at least 0.01 from 1, got {self.factor:g}",
        )
        self._require(
            self.fill in ("mirror", "silence"), f"fill must be mirror or silence, got {self.fill!r}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, LEAST_S, "a change of speed")
        played = audio.resample(clip.T, round(1000 * self.factor), 1000).T.astype(np.float64)
        return centred(played, clip.shape[-1], mirrored=self.fill == "mirror")
