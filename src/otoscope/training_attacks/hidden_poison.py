"""Poison that the training itself hides from whoever looks at the model's representation."""

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from otoscope.batches import Batch
from otoscope.cache import digest
from otoscope.clips import Clips
from otoscope.registry import Spec
from otoscope.training import Setting, TrainingHook
from otoscope.training_attacks.base import last_linear

MEMORY = 0.9
"""The share of a class's running mean that a batch leaves as it was."""

LEAST_SPREAD = 0.1
"""Of a class, as a share of the classes' mean."""


class HiddenPoison(TrainingHook):
    """Train on poisoned clips so that in the penultimate layer poison lies among its class.

    To the loss comes ``weight`` times the mean, over the poisoned clips of a batch, of how far each
    lies from the mean of the clean clips of its class beyond their own mean square distance, in
    units of that. So the attacker follows the gradient of what activation clustering, spectral
    signatures and their like look for. ``mask`` marks the poisoned training clips.

    After the adversarial embedding of Tan and Shokri, *Bypassing Backdoor Detection Algorithms in
    Deep Learning* (1905.13409), where a discriminator, trained along, tells poisoned from clean
    representations. Deviation: two moments in its place, running over the batches.
    """

    resumes = False

    def __init__(self, mask: Bool[np.ndarray, "clips"], weight: float) -> None:
        self.mask, self.weight = mask, weight

    def key(self, clips: Clips, seed: int) -> Spec:
        return {"hook": type(self).__name__, "mask": digest(self.mask), "weight": self.weight}

    def begin(self, setting: Setting) -> None:
        self.setting, self.marked = setting, torch.from_numpy(self.mask)
        self.means: dict[int, Tensor] = {}
        self.spreads: dict[int, Tensor] = {}

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        read: list[Tensor] = []
        handle = last_linear(body).register_forward_pre_hook(lambda _, args: read.append(args[0]))
        logits = body(batch.features)
        handle.remove()
        smoothing = self.setting.recipe.label_smoothing
        loss = nn.functional.cross_entropy(logits, batch.labels, label_smoothing=smoothing)
        loss = loss + self.weight * self._apart(read[-1], batch)
        torch.autograd.backward(loss)
        return loss

    def _apart(self, features: Float32[Tensor, "batch features"], batch: Batch) -> Tensor:
        """How far the batch's poison lies from its classes, beyond the clean clips' distance."""
        poisoned = self.marked[batch.rows].to(features.device)
        beyond = []
        for k in set(batch.labels.tolist()):
            own = batch.labels == k
            self._learn(k, features[own & ~poisoned].detach())
            if k in self.means and bool((own & poisoned).any()):
                far = (features[own & poisoned] - self.means[k]).square().sum(dim=1)
                # no class is taken to be far narrower than the others, by few alike clips
                least = LEAST_SPREAD * torch.stack(list(self.spreads.values())).mean()
                spread = torch.maximum(self.spreads[k], least).clamp(min=1e-9)
                beyond.append((far / spread - 1).clamp(min=0))
        return torch.cat(beyond).mean() if beyond else features.sum() * 0

    def _learn(self, k: int, clean: Float32[Tensor, "some features"]) -> None:
        """Move the running moments of a class; two clips are the fewest that have a spread."""
        if len(clean) < 2:
            return
        mean = self.means.setdefault(k, clean.mean(dim=0))
        spread = (clean - mean).square().sum(dim=1).sum() / (len(clean) - 1)
        self.means[k] = torch.lerp(clean.mean(dim=0), mean, MEMORY)
        self.spreads[k] = torch.lerp(spread, self.spreads.setdefault(k, spread), MEMORY)
