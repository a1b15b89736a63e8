"""Trigger inversion made for sound: its families of changes in one batched search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.held_out import SearchClips, Start
from otoscope.detect.inverted import FAMILIES, Family
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.metrics import accuracy
from otoscope.models import HasGradients
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

STRONGER = 1.3
"""Factor by which the weight of the size rises when the trigger works, and falls when not."""


@dataclass(frozen=True)
class SoundInversion(Detector):
    """Neural Cleanse's search (Wang et al., S&P 2019) in the spaces where audio triggers live.

    Five families: an added waveform that may sit anywhere, a stationary filter (gains in bands), a
    short convolution (echo, room), phases alone, and speed with pitch; see ``inverted``. A family
    and a class make an arm. All arms take the same steps in one batch, each on ``batch`` trusted
    clips of other classes; minimised is the cross-entropy towards the class plus a weight times the
    change's size, and the weight follows the success. Then the worse half of each family's classes
    is dropped again and again (successive halving, after K-Arm, Shen et al., 2102.05123), and those
    left share the rest of ``passes``, the number of clips sent forward and backward.

    Classes are compared where all have had the same steps: a class scores, in each family, minus
    the logarithm of the smallest size that sent ``success`` of its clips there; what halving adds
    serves the recovered trigger only. A class's score is its largest one over the families, each
    centred and scaled over the classes. The recovered trigger is that of the family in which the
    class stood out, of those that worked, proved on trusted clips that took no part.

    Deviations from K-Arm: no bandit draws arms, and arms are families as well as classes.
    """

    name: ClassVar[str] = "sound-inversion"
    level: ClassVar[Literal["data", "model"]] = "model"
    passes: int = 20_000
    batch: int = 4
    learning_rate: float = 0.1
    success: float = 0.9

    def __post_init__(self) -> None:
        require(self.batch >= 1, f"sound-inversion.batch must be 1 or more, got {self.batch}")
        require(0 < self.success <= 1, "sound-inversion.success must lie in (0, 1]")

    def score(self, view: View) -> Scores:
        if not isinstance(view.model, HasGradients):
            raise NotApplicable("no gradient reaches the input of this model")
        with fast_math():
            search = _Search(self, view.model, Start.of(view), view.seed)
            search.run(search.arms, self.passes // 2)
            sizes = search.scores()
            search.halve(self.passes - self.passes // 2)
        centred = sizes - np.median(sizes, axis=1, keepdims=True)
        apart = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-9)

        def recover(k: int) -> Recovered:
            works = np.isfinite(search.smallest[:, k].numpy())
            return search.recover(int((apart[:, k] + 1e6 * works).argmax()), k)

        return Scores(apart.max(axis=0), None, self.passes / len(search.start.clips), recover)


class _Search:
    """One set of parameters per family, a row for each class, and their optimisation."""

    def __init__(
        self, config: SoundInversion, model: HasGradients, start: Start, seed: int
    ) -> None:
        self.config, self.model, self.start = config, model, start
        self.rng = np.random.default_rng(seed)
        self.known, clips = SearchClips(start, model.device, self.rng), start.clips
        self.families: list[Family] = [
            family(clips.length, clips.sample_rate, self.rng) for family in FAMILIES
        ]
        classes = len(clips.classes)
        self.parameters = [
            family.start(classes).to(model.device).requires_grad_(True) for family in self.families
        ]
        self.optimizer = torch.optim.Adam(self.parameters, config.learning_rate, betas=(0.5, 0.9))
        shape = (len(self.families), classes)
        self.arms = np.argwhere(np.ones(shape, dtype=bool))
        self.weight, self.rate = torch.ones(shape), torch.zeros(shape)
        self.smallest = torch.full(shape, float("inf"))
        self.loss = torch.full(shape, float("inf"))
        self.best = [p.detach().clone() for p in self.parameters]

    def run(self, arms: np.ndarray, passes: int) -> None:
        """Steps of these arms, (family, class) each, as far as the passes go; at least one."""
        steps = max(1, passes // (self.config.batch * len(arms)))
        for _ in track(range(steps), "inverting sounds", steps):
            self._step(arms)

    def halve(self, passes: int) -> None:
        """Drop the worse half of each family's classes until two are left, then stop."""
        arms, rounds = self.arms, max(1, int(np.ceil(np.log2(len(self.start.clips.classes) / 2))))
        for _ in range(rounds):
            scores = self.scores()
            kept = []
            for f in range(len(self.families)):
                mine = arms[arms[:, 0] == f]
                order = np.argsort(-scores[f, mine[:, 1]], kind="stable")
                kept.append(mine[order[: max(2, len(mine) // 2)]])
            arms = np.concatenate(kept)
            self.run(arms, passes // rounds)

    def _step(self, arms: np.ndarray) -> None:
        batch = self.config.batch
        heard, goals, sizes = [], [], []
        for f, family in enumerate(self.families):
            mine = arms[arms[:, 0] == f, 1]
            if not len(mine):
                continue
            chosen = self.parameters[f][mine]
            drawn = [self.known.draw(int(k), batch, self.rng) for k in mine]
            clips = self.known.sounds[np.stack(drawn)]
            heard.append(family.apply(clips, chosen, self.rng).flatten(0, 1))
            goals.append(torch.from_numpy(mine).repeat_interleave(batch))
            sizes.append(family.size(chosen))
        goal, size = torch.cat(goals).to(self.model.device), torch.cat(sizes)
        logits = self.model.differentiable_logits(torch.cat(heard)[:, None])
        loss = nn.functional.cross_entropy(logits, goal, reduction="none").view(-1, batch).mean(1)
        hit = (logits.argmax(1) == goal).float().view(-1, batch).mean(1)
        at = tuple(torch.from_numpy(arms.T))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((loss + self.weight[at].to(size) * size).sum())
        self._remember(arms, at, hit.cpu(), size.detach().cpu(), loss.detach().cpu())
        self.optimizer.step()

    def _remember(
        self, arms: np.ndarray, at: Sequence[Tensor], hit: Tensor, size: Tensor, loss: Tensor
    ) -> None:
        """Keep the smallest successful change of each arm, and steer the weight of its size."""
        where = tuple(at)
        self.rate[where] = 0.7 * self.rate[where] + 0.3 * hit
        self.loss[where] = torch.minimum(self.loss[where], loss)
        works = self.rate[where] >= self.config.success
        better = (works & (size < self.smallest[where])).numpy()
        for (f, k), is_better in zip(arms.tolist(), better.tolist(), strict=True):
            if is_better or not torch.isfinite(self.smallest[f, k]):
                self.best[f][k] = self.parameters[f].detach()[k]
        self.smallest[where] = torch.where(
            works, torch.minimum(self.smallest[where], size), self.smallest[where]
        )
        factor = torch.where(works, STRONGER, 1 / STRONGER)
        self.weight[where] = (self.weight[where] * factor).clamp(1e-2, 1e2)

    def scores(self) -> Float[np.ndarray, "families classes"]:
        """Minus the logarithm of each arm's smallest size; arms that never worked lie below all
        sizes of their family, by how far their loss stayed up."""
        failed = ~torch.isfinite(self.smallest)
        limits = torch.tensor([[family.largest] for family in self.families])
        size = torch.where(failed, limits, torch.minimum(self.smallest, limits))
        loss = torch.where(failed, self.loss.clamp(max=10.0), torch.zeros(()))
        return np.asarray((-size.clamp(min=1e-6).log() - 0.1 * loss).numpy(), dtype=np.float64)

    @torch.no_grad()
    def recover(self, f: int, k: int) -> Recovered:
        """The best change of an arm on clips of other classes, kept out of the search."""
        rows = self.known.proving(k)
        before = self.known.sounds[rows]
        after = self.families[f].apply(before[None], self.best[f][k : k + 1], None)[0]
        predicted = self.model.differentiable_logits(after[:, None]).argmax(1).cpu().numpy()
        success = accuracy(predicted, np.full(len(rows), k))
        return self.start.recovered(k, before[0], after[0], success, self.families[f].what)
