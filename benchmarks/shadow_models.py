"""The peer of tests on models that learns from examples: a meta-classifier over shadow models.

MNTD (Xu et al., IEEE S&P 2021, 1910.03137, section IV): queries and a small network that reads what
a model answers to them are learned together, from models whose truth is known. Deviations: the
shadow models are the design half of the zoo, of one data set (at most 64, where the paper trains
thousands under made-up attacks), so its attacks are of other families than those of the sequestered
half; queries start from trusted clips in place of noise; the mean of ``REPEATS`` meta-classifiers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.clips import Clips
from otoscope.models import TorchModel
from otoscope.numerics import fast_math

MOST_SHADOWS = 64
QUERIES = 10
HIDDEN = 20
EPOCHS = 30
LEARNING_RATE = 1e-3
REPEATS = 3


@dataclass(frozen=True, eq=False)
class Mntd:
    """Queries (query, 1, time) and what reads the answers; ``score`` is higher for a backdoor."""

    queries: tuple[Tensor, ...]
    readers: tuple[nn.Module, ...]

    @torch.no_grad()
    def score(self, model: TorchModel) -> float:
        """The mean log-odds of a backdoor."""
        pairs = zip(self.queries, self.readers, strict=True)
        return float(np.mean([_answer(reader, model, asked).item() for asked, reader in pairs]))


def learned(
    shadows: Sequence[TorchModel], backdoored: Sequence[bool], trusted: Clips, seed: int
) -> Mntd:
    """From models of the same classes whose truth is known."""
    assert len(shadows) <= MOST_SHADOWS
    with fast_math():
        found = [_one(shadows, backdoored, trusted, seed + i) for i in range(REPEATS)]
    return Mntd(*(tuple(column) for column in zip(*found, strict=True)))


def _one(
    shadows: Sequence[TorchModel], backdoored: Sequence[bool], trusted: Clips, seed: int
) -> tuple[Tensor, nn.Module]:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(trusted))[:QUERIES]
    asked = torch.from_numpy(trusted.waveforms(rows)).requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = QUERIES * len(shadows[0].hearing.classes)
        reader = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.Adam([asked, *reader.parameters()], LEARNING_RATE)
    truth = np.asarray(backdoored, dtype=bool)
    # as many of either kind count the same
    weight = np.where(truth, 0.5 / truth.mean(), 0.5 / (~truth).mean())
    for _ in range(EPOCHS):
        for i in rng.permutation(len(shadows)).tolist():
            said = _answer(reader, shadows[i], asked)
            loss = nn.functional.binary_cross_entropy_with_logits(
                said, torch.full_like(said, float(truth[i]))
            )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss * float(weight[i]))
            optimizer.step()
    return asked.detach(), reader.eval().requires_grad_(False)


def _answer(reader: nn.Module, model: TorchModel, asked: Tensor) -> Tensor:
    out: Tensor = reader(model.differentiable_logits(asked).flatten())
    return out
