"""IBD-PSC: a triggered clip keeps its class when the model's last layers are amplified."""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn.modules.batchnorm import _BatchNorm

from otoscope import metrics
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, heard, mean_by_class, require_clips
from otoscope.errors import NotApplicable
from otoscope.models import AudioModel, TorchModel, activations
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

BATCH = 256


@dataclass(frozen=True)
class IbdPsc(Detector):
    """Hou et al., 2405.09786: parameter-oriented scaling consistency.

    Weights and biases of the last k batch normalisations are multiplied by ``factor``, in copies of
    the model. k begins where the error on trusted clips first exceeds ``error_rate`` (the paper's
    adaptive selection) and goes on for up to ``models`` copies, each with one more layer than the
    last. A clip scores the mean confidence of these copies in the class that the model itself
    predicts. A class scores the mean of its clips.

    Raises ``NotApplicable`` unless the model is a torch module with batch normalisations that have
    weights. Deviations: where no k reaches the error rate, as in networks of few layers, the copies
    with the most layers are taken; there are fewer than ``models`` where layers run out. Without
    trusted clips the error is that on the clips to judge.
    """

    name: ClassVar[str] = "ibd-psc"
    level: ClassVar[Literal["data", "model"]] = "data"
    models: int = 5
    factor: float = 1.5
    error_rate: float = 0.6

    def __post_init__(self) -> None:
        require(self.models >= 1, f"ibd-psc.models must be at least 1, got {self.models}")
        require(self.factor > 1, f"ibd-psc.factor must be above 1, got {self.factor:g}")
        require(0 < self.error_rate < 1, "ibd-psc.error_rate must lie between 0 and 1")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        model = _with_normalisation(view.model)
        predicted = heard(view).predicted
        known = view.trusted if view.trusted is not None and len(view.trusted) else clips
        with fast_math():
            copies, tried = self._amplified(model, known)
            scores = mean_confidence(copies, clips, predicted)
        passes = len(copies) + (tried if known is clips else 0)
        return Scores(mean_by_class(clips, scores), scores, float(passes))

    def _amplified(self, model: TorchModel, known: Clips) -> tuple[list[TorchModel], int]:
        """The copies that judge, and how many were tried on the known clips."""
        layers = len(normalisations(model))
        for first in range(1, layers + 1):
            seen = activations(amplified(model, first, self.factor), known)
            if 1 - metrics.accuracy(seen.predicted, known.labels) > self.error_rate:
                tried = first
                break
        else:
            first, tried = max(1, layers - self.models + 1), layers
        last = min(layers, first + self.models - 1)
        return [amplified(model, k, self.factor) for k in range(first, last + 1)], tried


def normalisations(model: TorchModel) -> list[_BatchNorm]:
    """The batch normalisations that have weights, in the order in which the module lists them."""
    return [m for m in model.module.modules() if isinstance(m, _BatchNorm) and m.affine]


@torch.no_grad()
def amplified(model: TorchModel, count: int, factor: float) -> TorchModel:
    """A copy whose last ``count`` batch normalisations have weights and biases times ``factor``."""
    module = copy.deepcopy(model.module)
    louder = TorchModel(module, model.hearing, flat=model.flat, device=model.device)
    for layer in normalisations(louder)[-count:]:
        layer.weight.mul_(factor)
        layer.bias.mul_(factor)
    return louder


def mean_confidence(
    models: list[TorchModel], clips: Clips, predicted: Int[np.ndarray, "clips"]
) -> Float[np.ndarray, "clips"]:
    """The probability that models give to a predicted class, averaged over the models."""
    confidence = np.zeros(len(clips))
    batches = track(clips.batches(BATCH), "amplifying the model", -(-len(clips) // BATCH))
    for number, batch in enumerate(batches):
        some = slice(number * BATCH, number * BATCH + len(batch))
        classes = torch.from_numpy(predicted[some])[:, None]
        for model in models:
            told = model.logits(torch.from_numpy(batch)).softmax(dim=1)
            confidence[some] += told.gather(1, classes)[:, 0].numpy() / len(models)
    return confidence


def _with_normalisation(model: AudioModel) -> TorchModel:
    if not isinstance(model, TorchModel):
        raise NotApplicable(
            "the model is not a torch module, so that none of its layers can be amplified"
        )
    if not normalisations(model):
        raise NotApplicable("the model has no batch normalisation whose weights could be amplified")
    return model
