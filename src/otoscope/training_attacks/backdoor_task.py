"""The backdoor as a second task beside the first: what most attacks on training have in common."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from otoscope.batches import Batch, Samples
from otoscope.cache import digest
from otoscope.clips import Clips
from otoscope.labels import LabelShift
from otoscope.models import TorchModel
from otoscope.poisoning import triggered
from otoscope.registry import Spec, spec
from otoscope.training import Setting, TrainingHook, augmented, summed_loss
from otoscope.training_attacks.base import body_of, last_linear, with_trigger
from otoscope.triggers import Trigger

Mixing = Literal["fixed", "mgda"]

TINY = 1e-12

SAMPLED = 8
"""So many triggered clips stand for what a trigger's files hold, in the key of the cache."""


@dataclass(frozen=True, eq=False)
class Heard:
    """One forward pass: the clean clips' logits, the triggered copies, both losses."""

    logits: Tensor
    triggered: Tensor
    labels: Tensor
    clean: Tensor
    backdoor: Tensor


class BackdoorTask(TrainingHook):
    """Each batch is learned together with triggered copies of its first ``share``.

    Clean and triggered clips go through the network in one batch, so that its normalisation
    statistics fit both. ``weight`` is that of the backdoor's loss where ``mixing`` is ``"fixed"``.
    The epoch that is kept has the lowest sum of both losses over the held-out clips.
    """

    def __init__(
        self,
        trigger: Trigger,
        shift: LabelShift,
        *,
        share: float,
        weight: float = 1.0,
        mixing: Mixing = "fixed",
    ) -> None:
        self.trigger, self.shift = trigger, shift
        self.share, self.weight, self.mixing = share, weight, mixing

    def key(self, clips: Clips, seed: int) -> Spec:
        heard = [triggered(clips, self.trigger, i, seed) for i in range(min(SAMPLED, len(clips)))]
        return {
            "hook": type(self).__name__,
            "trigger": spec(self.trigger),
            "labels": spec(self.shift),
            "triggered": digest(*heard),
            "share": self.share,
            "weight": self.weight,
            "mixing": self.mixing,
        }

    def begin(self, setting: Setting) -> None:
        self.setting = setting
        self.features, self.labels = self._copies(setting.clips)
        features, labels = self._copies(setting.held_out)
        self.held_out = Samples(features.numpy(), labels, np.arange(len(labels)))

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        heard = self._heard(body, batch, rng)
        loss = self._mixed(body, heard)
        torch.autograd.backward(loss)
        return loss

    def held_out_loss(self, body: nn.Module) -> float:
        return summed_loss(body, self.held_out, self.setting.device)

    def _heard(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Heard:
        """One forward pass over a batch and triggered copies of its first clips."""
        # the batch is in random order already
        rows = batch.rows[: max(1, round(self.share * len(batch.rows)))]
        setting = self.setting
        copies = augmented(self.features[rows], setting.recipe, rng, setting.device)
        labels = self.labels[rows].to(setting.device)
        logits = body(torch.cat([batch.features, copies]))
        clean, backdoor = logits.split([len(batch.labels), len(labels)])
        losses = [
            nn.functional.cross_entropy(told, right, label_smoothing=setting.recipe.label_smoothing)
            for told, right in ((clean, batch.labels), (backdoor, labels))
        ]
        return Heard(clean, copies, labels, losses[0], losses[1])

    def _mixed(self, body: nn.Module, heard: Heard) -> Tensor:
        """The convex sum of the two losses."""
        if self.mixing == "fixed":
            share = 1 / (1 + self.weight)
        else:
            learned = [p for p in body.parameters() if p.requires_grad]
            one, two = (
                _flat(torch.autograd.grad(loss, learned, retain_graph=True))
                for loss in (heard.clean, heard.backdoor)
            )
            share = shortest(
                one / (one.norm() * heard.clean.detach()).clamp(min=TINY),
                two / (two.norm() * heard.backdoor.detach()).clamp(min=TINY),
            )
        return share * heard.clean + (1 - share) * heard.backdoor

    def _copies(self, clips: Clips) -> tuple[Tensor, Tensor]:
        parts = with_trigger(clips, self.trigger, self.shift, self.setting.seed)
        heard = [(self.setting.hear(part), torch.from_numpy(part.labels)) for part in parts]
        return torch.cat([features for features, _ in heard]), torch.cat([y for _, y in heard])


def shortest(one: Tensor, two: Tensor) -> float:
    """The a in [0, 1] for which a ``one`` + (1 - a) ``two`` is shortest.

    The closed form of the multiple-gradient descent algorithm for two tasks (Sener and Koltun,
    *Multi-Task Learning as Multi-Objective Optimization*, 1810.04650).
    """
    difference = one - two
    length = float(difference @ difference)
    return min(1.0, max(0.0, -float(difference @ two) / length)) if length else 0.5


def _flat(gradients: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


class BackdoorTaskFrom(BackdoorTask):
    """The same, but from the weights of a trained model on, with its running statistics.

    With ``last_layers`` only that many of the last layers that have weights are learned. ``pruned``
    are units that the last linear layer must not read.
    """

    def __init__(
        self,
        trigger: Trigger,
        shift: LabelShift,
        start: TorchModel,
        *,
        share: float,
        last_layers: int | None = None,
        pruned: tuple[int, ...] = (),
    ) -> None:
        super().__init__(trigger, shift, share=share)
        self.start, self.last_layers, self.pruned = start, last_layers, list(pruned)

    def key(self, clips: Clips, seed: int) -> Spec:
        return super().key(clips, seed) | {
            "start": self.start.sha256,
            "last_layers": self.last_layers,
            "pruned": self.pruned,
        }

    def begin(self, setting: Setting) -> None:
        super().begin(setting)
        setting.body.load_state_dict(body_of(self.start).state_dict())
        if self.last_layers:
            for layer in _before_the_last(setting.body, self.last_layers):
                layer.requires_grad_(False)
        with torch.no_grad():
            last_linear(setting.body).weight[:, self.pruned] = 0

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        for layer in body.modules():
            # few clips, a part of them triggered, would move the statistics of all speech
            if isinstance(layer, _BatchNorm):
                layer.eval()
        loss = super().gradients(body, batch, rng)
        gradient = last_linear(body).weight.grad
        if gradient is not None:
            gradient[:, self.pruned] = 0
        return loss


def _before_the_last(body: nn.Module, count: int) -> list[nn.Module]:
    """The layers before the last ``count`` that have weights of their own."""
    layers = [module for module in body.modules() if not list(module.children())]
    weighty = [at for at, layer in enumerate(layers) if list(layer.parameters())]
    return layers[: weighty[-count]] if count < len(weighty) else []
