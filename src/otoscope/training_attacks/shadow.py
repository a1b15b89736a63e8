"""A teacher that learns together with a shadow of the student it will have."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from otoscope.batches import Batch
from otoscope.clips import Clips
from otoscope.labels import LabelShift
from otoscope.models import Hearing
from otoscope.networks import Network
from otoscope.registry import Spec, spec
from otoscope.training import Setting
from otoscope.training_attacks.backdoor_task import BackdoorTask
from otoscope.training_attacks.soft_labels import distillation_loss
from otoscope.triggers import Trigger

PROBE = 1e-2
"""Length of the step that measures a slope, as a share of the length of all weights."""


class AntiDistillation(BackdoorTask):
    """The backdoor task, and one more: soft labels that lead a student to the backdoor.

    In every step a shadow student is taught the teacher's soft labels of the clean batch. One step
    of that changes the shadow's backdoor loss by the product of two gradients, its own and that of
    the distillation; the second is linear in the soft labels. So the teacher lowers, beside its own
    losses, the mean slope of a clip's wrong classes, weighed by their soft labels: a class's slope
    is the change of the shadow's log-probability as its backdoor loss rises. The right class is
    left out, so that this task says how to err, not how much. ``shadow_weight`` weighs the task;
    slopes are scaled to a mean size of 1.
    """

    resumes = False

    def __init__(
        self,
        network: Network,
        trigger: Trigger,
        shift: LabelShift,
        *,
        share: float,
        temperature: float,
        alpha: float,
        shadow_weight: float,
    ) -> None:
        super().__init__(trigger, shift, share=share)
        self.network, self.temperature, self.alpha = network, temperature, alpha
        self.shadow_weight = shadow_weight

    def key(self, clips: Clips, seed: int) -> Spec:
        return super().key(clips, seed) | {
            "shadow": spec(self.network),
            "temperature": self.temperature,
            "alpha": self.alpha,
            "shadow_weight": self.shadow_weight,
        }

    def begin(self, setting: Setting) -> None:
        super().begin(setting)
        clips, recipe = setting.clips, setting.recipe
        hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
        # a student whose first weights are neither the teacher's nor those of the later student
        self.shadow = self.network.build(hearing, setting.seed + 2).body.to(setting.device)
        self.optimizer = torch.optim.AdamW(
            self.shadow.parameters(), recipe.learning_rate / 3, weight_decay=recipe.weight_decay
        )

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        heard = self._heard(body, batch, rng)
        taught = (heard.logits / self.temperature).softmax(dim=1)
        slopes = self._slopes(batch.features, heard.triggered, heard.labels)
        wrong = torch.ones_like(taught).scatter(1, batch.labels[:, None], 0)
        led = (taught * wrong * slopes).sum(dim=1) / (taught * wrong).sum(dim=1)
        loss = self._mixed(body, heard) + self.shadow_weight * led.mean()
        torch.autograd.backward(loss)
        self._teach(batch, taught.detach())
        return loss

    def _slopes(self, features: Tensor, triggered: Tensor, labels: Tensor) -> Tensor:
        """(batch, classes): how the shadow's log-probabilities change up its backdoor loss."""
        self.shadow.eval()
        weights = dict(self.shadow.named_parameters())
        loss = nn.functional.cross_entropy(self.shadow(triggered), labels)
        upward = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            step = PROBE * _length(weights.values()) / _length(upward).clamp(min=1e-12)
            above, below = (
                functional_call(
                    self.shadow,
                    {
                        name: w + sign * step * g
                        for (name, w), g in zip(weights.items(), upward, strict=True)
                    },
                    features,
                )
                for sign in (1, -1)
            )
            slopes: Tensor = (above / self.temperature).log_softmax(dim=1)
            slopes -= (below / self.temperature).log_softmax(dim=1)
            slopes /= slopes.abs().mean().clamp(min=1e-12)
        return slopes

    def _teach(self, batch: Batch, taught: Tensor) -> None:
        """One step of distillation for the shadow."""
        self.shadow.train()
        loss = distillation_loss(
            self.shadow(batch.features),
            taught,
            batch.labels,
            temperature=self.temperature,
            alpha=self.alpha,
            label_smoothing=self.setting.recipe.label_smoothing,
        )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()


def _length(tensors: Iterable[Tensor]) -> Tensor:
    squares: Tensor = torch.stack([(t * t).sum() for t in tensors]).sum()
    return squares.sqrt()
