"""Cognitive distillation: how little of a clip does the model need to say what it says?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otoscope.detect.base import Detector, Scores, View, members_by_class, require_clips
from otoscope.detect.mel_plane import MelPlane
from otoscope.errors import NotApplicable
from otoscope.models import HasGradients
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

BATCH = 128
QUIET_DB = -60.0


@dataclass(frozen=True)
class CognitiveDistillation(Detector):
    """Huang, Ma, Erfani, Bailey, 2301.10908 (ICLR 2023), equation 1.

    For every clip a mask m in [0, 1] is searched that keeps the model's logits:
    ||f(x) - f(x')||_1 + ``sparsity`` ||m||_1 + ``smoothness`` TV(m), where x' is x under the mask
    and quiet noise elsewhere, by Adam for ``steps`` steps. A trigger is all the model needs, so a
    small mask is suspicious: a clip scores minus the mean of its mask. A class scores minus the
    logarithm of the 0.05 quantile of its clips' means.

    Deviations for audio: the mask lies on ``bands`` mel bands by the frames of a short-time
    spectrum, which is turned back into a waveform, so that it works for any model with gradients;
    what is masked becomes white noise 60 dB below full scale instead of a random colour; all terms
    are means instead of sums, with weights to match; fewer steps than the paper's 100. It costs
    ``steps`` forward and as many backward passes.
    """

    name: ClassVar[str] = "cognitive-distillation"
    level: ClassVar[Literal["data", "model"]] = "data"
    bands: int = 20
    steps: int = 40
    learning_rate: float = 0.2
    sparsity: float = 1.0
    smoothness: float = 1.0

    def __post_init__(self) -> None:
        for name in ("bands", "steps"):
            value = getattr(self, name)
            require(value >= 2, f"cognitive-distillation.{name} must be at least 2, got {value}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        if not isinstance(view.model, HasGradients):
            raise NotApplicable("no gradient reaches the input of this model")
        plane = MelPlane(clips.sample_rate, clips.length, self.bands, view.model.device)
        noise = np.random.default_rng(view.seed).standard_normal((1, clips.length))
        quiet = torch.from_numpy((noise * 10 ** (QUIET_DB / 20)).astype(np.float32))
        elsewhere = plane.spectra(quiet.to(view.model.device))
        areas = []
        with fast_math():
            total = -(-len(clips) // BATCH)
            for batch in track(clips.batches(BATCH), "distilling clips", total):
                waveforms = torch.from_numpy(batch).to(view.model.device)
                mask = self._smallest_mask(view.model, plane, waveforms, elsewhere)
                areas.append(mask.mean(dim=(1, 2)).cpu().numpy())
        area = np.concatenate(areas).astype(np.float64)
        classes = np.full(len(clips.classes), np.nan)
        for k, members in members_by_class(clips):
            classes[k] = -np.log(max(float(np.quantile(area[members], 0.05)), 1e-6))
        # a backward pass costs about two forward ones
        return Scores(classes, -area, 3.0 * self.steps)

    def _smallest_mask(
        self,
        model: HasGradients,
        plane: MelPlane,
        waveforms: Float[Tensor, "batch 1 time"],
        elsewhere: Tensor,
    ) -> Float[Tensor, "batch band frame"]:
        spectra = plane.spectra(waveforms[:, 0])
        shape = (len(waveforms), self.bands, spectra.shape[-1])
        raw = torch.full(shape, 2.0, device=spectra.device, requires_grad=True)  # nearly all kept
        optimizer = torch.optim.Adam([raw], self.learning_rate, betas=(0.1, 0.1))
        with torch.no_grad():
            wanted = model.differentiable_logits(waveforms)
        for _ in range(self.steps):
            mask = torch.sigmoid(raw)
            kept = plane.spread @ mask
            heard = plane.waveforms(spectra * kept + elsewhere * (1 - kept))
            apart = (model.differentiable_logits(heard[:, None]) - wanted).abs().mean(dim=1)
            loss = apart + self.sparsity * mask.mean(dim=(1, 2)) + self.smoothness * rough(mask)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss.sum())
            optimizer.step()
        return torch.sigmoid(raw.detach())


def rough(mask: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch"]:
    """Total variation: the mean squared step between neighbours, over bands plus over frames."""
    steps = (mask.diff(dim=1), mask.diff(dim=2))
    return torch.stack([step.square().mean(dim=(1, 2)) for step in steps]).sum(dim=0)
