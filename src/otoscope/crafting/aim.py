"""What an optimised trigger is aimed at: a surrogate, clips, and the class wanted for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from otoscope import audio
from otoscope.errors import NotApplicable
from otoscope.labels import ANY_OTHER
from otoscope.models import Hearing
from otoscope.models.base import HasGradients
from otoscope.progress import track

BATCH = 48


@dataclass(frozen=True, eq=False)
class Aim:
    """A frozen model, clips float32 (clips, 1, time) on its device, true and wanted classes."""

    model: HasGradients
    hearing: Hearing
    clips: Tensor
    labels: Tensor
    goal: Tensor
    seed: int

    def batches(self, steps: int) -> Iterator[tuple[Tensor, np.random.Generator]]:
        """For each step, the rows of a batch drawn anew, and the step's own random generator."""
        for step in track(range(steps), "crafting the trigger", steps):
            rng = np.random.default_rng((self.seed, step))
            rows = rng.permutation(len(self.clips))[:BATCH]
            yield torch.from_numpy(rows).to(self.clips.device), rng

    def missed(self, triggered: Tensor, rows: Tensor) -> Tensor:
        """The attacker's mean loss on these rows' clips with the trigger.

        The goal's cross-entropy; where any wrong class will do, minus the true one's, bounded.
        """
        log_p = self.model.differentiable_logits(triggered.clamp(-1, 1)).log_softmax(dim=1)
        goal, labels = self.goal[rows], self.labels[rows]
        any_other = goal == ANY_OTHER
        of_goal = -log_p.gather(1, goal.clamp(min=0)[:, None])[:, 0]
        right = log_p.gather(1, labels[:, None])[:, 0].exp()
        return torch.where(any_other, -torch.log1p(-right + 1e-6), of_goal).mean()

    def levels(self, rows: Tensor, level_db: float) -> Tensor:
        """The RMS that a sound at this level has in each clip, shaped (rows, 1, 1)."""
        rms = self.clips[rows].square().mean(dim=-1, keepdim=True).sqrt()
        return rms.clamp(min=audio.SILENCE_RMS) * 10 ** (level_db / 20)

    def penultimate(self) -> tuple[nn.Linear, Callable[[Tensor], Tensor]]:
        """The model's last linear layer, and what it reads of clips, with gradients.

        Raises ``NotApplicable`` unless the model is a PyTorch module with such a layer.
        """
        module = getattr(self.model, "module", None)
        layers = [x for x in module.modules() if isinstance(x, nn.Linear)] if module else []
        if not layers:
            raise NotApplicable(
                "the neuron trigger needs a PyTorch model with an nn.Linear layer; "
                f"got {type(self.model).__name__} without one"
            )

        def read(clips: Tensor) -> Tensor:
            seen: list[Tensor] = []
            hook = layers[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
            try:
                self.model.differentiable_logits(clips.clamp(-1, 1))
            finally:
                hook.remove()
            return seen[-1].flatten(1)

        return layers[-1], read
