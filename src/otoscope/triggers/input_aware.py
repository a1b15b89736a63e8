"""A sound of its own for every clip, made by a small network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from otoscope import audio
from otoscope.triggers.base import Taxonomy, at_unit_rms
from otoscope.triggers.crafted import CraftedTrigger

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 8
"""The network works at an eighth of the sample rate."""


@dataclass(frozen=True)
class InputAware(CraftedTrigger):
    """A network, trained by ``otoscope.craft``, makes a pattern for each clip, which is added.

    ``path`` names the crafted file with the network's weights. ``level_db`` is the pattern's RMS
    relative to the clip's. Crafting takes ``steps`` steps on the sum of three losses: the goal's
    cross-entropy; ``diversity`` times how alike the patterns of two clips are; ``cross`` times the
    cross-entropy of the true class under the pattern of another clip. A clip at another rate than
    the surrogate's is resampled for the network, and its pattern back. Raises ``SpecError`` before
    it is crafted.

    After Nguyen and Tran, *Input-Aware Dynamic Backdoor Attack* (2010.08138): generator, diversity
    loss, cross-trigger test. Deviations: a convolutional network on the waveform; no mask network;
    the classifier is a frozen surrogate, where the paper, like DriNet (Ye et al., DSN 2022), trains
    generator and classifier together, so that the cross-trigger loss binds the victim less.
    """

    name: ClassVar[str] = "input-aware"
    arrays: ClassVar[tuple[str, ...]] = ("hear", "mix", "mix.bias", "speak")
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=True,
        semantic=False,
        optimised=True,
        source="Nguyen and Tran, Input-Aware Dynamic Backdoor Attack, 2020",
    )

    level_db: float = -10.0
    steps: int = 200
    diversity: float = 0.1
    cross: float = 0.2

    def _check(self) -> None:
        self._require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")
        for field, value in (("diversity", self.diversity), ("cross", self.cross)):
            self._require(value >= 0, f"{field} must be at least 0, got {value:g}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        import torch

        arrays, made_at = self.crafted()
        weights = {name: torch.from_numpy(arrays[name]) for name in self.arrays}
        mono = audio.resample(clip.mean(axis=0).astype(np.float32), sample_rate, made_at)
        with torch.no_grad():
            heard = torch.from_numpy(np.ascontiguousarray(mono))[None, None]
            made = patterns(weights, heard)[0, 0].numpy()
        sound = np.resize(audio.resample(made, made_at, sample_rate), clip.shape[-1])
        return clip + at_unit_rms(sound.astype(np.float64)) * audio.level_rms(clip, self.level_db)


def patterns(weights: "dict[str, Tensor]", waveforms: "Tensor") -> "Tensor":
    """What the network answers to clips, both shaped (batch, 1, time); of no particular level.

    ``hear`` (filters, 1, width) listens every ``STRIDE`` samples, ``mix`` (filters, filters, 3) and
    its bias mix, ``speak`` (filters, 1, width) turns that into sound again. Clips are brought to an
    RMS of 1 first.
    """
    from torch.nn import functional as nn

    count, width = waveforms.shape[-1], weights["hear"].shape[-1]
    level = waveforms.square().mean(dim=-1, keepdim=True).sqrt().clamp(min=audio.SILENCE_RMS)
    heard = nn.conv1d(waveforms / level, weights["hear"], stride=STRIDE, padding=width // 2)
    mixed = nn.conv1d(heard.relu(), weights["mix"], weights["mix.bias"], padding=1).tanh()
    spoken = nn.conv_transpose1d(mixed, weights["speak"], stride=STRIDE)
    start = width // 2
    return spoken[..., start : start + count]
