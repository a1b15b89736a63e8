"""Knowledge distillation, as a change of what a batch teaches."""

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.batches import Batch
from otoscope.cache import digest
from otoscope.clips import Clips
from otoscope.registry import Spec
from otoscope.training import Setting, TrainingHook


class SoftLabels(TrainingHook):
    """A student learns a teacher's ``logits`` for each training clip, beside the true labels.

    ``alpha`` is the share of the soft loss, at ``temperature``; see ``distillation_loss``.
    """

    def __init__(self, logits: np.ndarray, *, temperature: float, alpha: float) -> None:
        self.logits = torch.from_numpy(logits)
        self.temperature, self.alpha = temperature, alpha

    def key(self, clips: Clips, seed: int) -> Spec:
        return {
            "hook": type(self).__name__,
            "logits": digest(self.logits.numpy()),
            "temperature": self.temperature,
            "alpha": self.alpha,
        }

    def begin(self, setting: Setting) -> None:
        self.setting = setting

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        taught = self.logits[batch.rows].to(self.setting.device)
        loss = distillation_loss(
            body(batch.features),
            (taught / self.temperature).softmax(dim=1),
            batch.labels,
            temperature=self.temperature,
            alpha=self.alpha,
            label_smoothing=self.setting.recipe.label_smoothing,
        )
        torch.autograd.backward(loss)
        return loss


def distillation_loss(
    logits: Tensor,
    taught: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    alpha: float,
    label_smoothing: float,
) -> Tensor:
    """``alpha`` T^2 KL(taught || student at T) + (1 - ``alpha``) cross-entropy.

    ``taught`` are probabilities, softened at the same temperature T. After Hinton, Vinyals and
    Dean, *Distilling the Knowledge in a Neural Network* (1503.02531).
    """
    soft = nn.functional.kl_div(
        (logits / temperature).log_softmax(dim=1), taught, reduction="batchmean"
    )
    hard = nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
