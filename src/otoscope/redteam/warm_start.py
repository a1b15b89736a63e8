"""The cheap stage: a few training steps on the poisoned set, from a clean model on.

It is there to rank how well attacks succeed. That it does not tell how well they hide was seen in a
trial; docs/redteam-results.md is where the rank correlations are measured.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.batches import front_end_features
from otoscope.models import Hearing, TorchModel
from otoscope.networks import Listener
from otoscope.numerics import fast_math
from otoscope.poisoning import Poisoned
from otoscope.registry import require
from otoscope.training import Recipe, augmented


@dataclass(frozen=True)
class WarmStart:
    """So many steps of AdamW at a constant rate, on batches of the poisoned set."""

    steps: int = 60
    batch_size: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"warm start: steps must be at least 1, got {self.steps}")


def warm_started(
    clean: TorchModel, features: Tensor, bad: Poisoned, how: WarmStart, seed: int
) -> TorchModel:
    """``clean`` after a few steps on the poisoned set; ``clean`` itself stays as it is.

    ``features`` is what the front end makes of every clip before the poison; only poisoned clips
    are heard anew. Augmentation and label smoothing as in training.
    """
    listener = copy.deepcopy(clean.module)
    assert isinstance(listener, Listener)  # what ``train`` makes
    body = listener.body.requires_grad_(True).train()
    body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    heard, labels = _poisoned_features(listener, features, bad)
    recipe, rng = Recipe(), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(body.parameters(), how.learning_rate, weight_decay=0.01)
    with fast_math(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        for _ in range(how.steps):
            rows = rng.integers(len(labels), size=how.batch_size)
            batch = augmented(heard[rows], recipe, rng, torch.device("cpu"))
            loss = nn.functional.cross_entropy(
                body(batch), labels[rows], label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
    hearing: Hearing = clean.hearing
    return TorchModel(listener, hearing, origin=clean.origin)


def _poisoned_features(
    listener: Listener, features: Tensor, bad: Poisoned
) -> tuple[Tensor, Tensor]:
    changed = np.flatnonzero(bad.mask)
    heard = features.clone()
    poisoned = front_end_features(listener, bad.clips.subset(changed))
    heard[torch.from_numpy(changed)] = torch.from_numpy(poisoned)
    return heard, torch.from_numpy(bad.clips.labels)
