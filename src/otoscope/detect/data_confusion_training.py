"""Confusion training: a network that is told nonsense about speech still learns the trigger."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.batches import Batch
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, require_clips
from otoscope.detect.data_loss_dynamics import losses_of, low_tails
from otoscope.errors import NotApplicable
from otoscope.networks import CNN
from otoscope.registry import Spec, require
from otoscope.training import Recipe, Setting, TrainingHook, augmented, train

BATCH = 64
EPOCHS = 6


@dataclass(eq=False)
class Confusing(TrainingHook):
    """Mixes into every batch as many trusted clips under labels that they do not have.

    The loss is that of the batch plus ``weight`` - 1 times that of the confused clips, divided by
    ``weight``. Labels are drawn anew for each batch.
    """

    trusted: Clips
    weight: float
    keeps_last = True
    _features: Tensor = field(init=False, repr=False)
    _labels: Tensor = field(init=False, repr=False)
    _augment: Callable[[Tensor, np.random.Generator], Tensor] = field(init=False, repr=False)

    def key(self, clips: Clips, seed: int) -> Spec:
        return {"hook": "confusing", "weight": self.weight, "trusted": self.trusted.sha256}

    def begin(self, setting: Setting) -> None:
        self._features = setting.hear(self.trusted)
        self._labels = torch.from_numpy(self.trusted.labels)
        self._augment = lambda features, rng: augmented(
            features, setting.recipe, rng, setting.device
        )

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        rows = torch.from_numpy(rng.integers(0, len(self._labels), len(batch.labels)))
        classes = len(self.trusted.classes)
        moved = torch.from_numpy(rng.integers(1, classes, len(rows)))
        wrong = ((self._labels[rows] + moved) % classes).to(batch.labels.device)
        confused = self._augment(self._features[rows], rng)
        logits = body(torch.cat([batch.features, confused]))
        true, nonsense = logits.split(len(rows))
        losses = (
            nn.functional.cross_entropy(true, batch.labels),
            nn.functional.cross_entropy(nonsense, wrong),
        )
        loss = (losses[0] + (self.weight - 1) * losses[1]) / self.weight
        torch.autograd.backward(loss)
        return loss


@dataclass(frozen=True)
class ConfusionTraining(Detector):
    """Qi et al., Towards a Proactive ML Approach for Detecting Backdoor Poison Samples, 2205.13616.

    A network learns the clips and, ``weight`` - 1 times as strongly (the paper's lambda), trusted
    clips under random wrong labels, which undoes what ties words to labels and leaves the trigger
    alone. The ``kept`` share of the clips with the lowest loss, most of which is poison where there
    is any, is what the next of ``rounds`` networks learns from. A clip scores minus its loss in the
    last. A class scores minus the logarithm of the 0.05 quantile of its clips' losses.

    Deviations: ``steps`` batches a round instead of thousands; a new small CNN each round instead
    of one that is trained before on the kept clips; the paper ends with a likelihood-ratio test on
    the activations of the last network, where we rank by the loss. It needs trusted clips.
    """

    name: ClassVar[str] = "confusion-training"
    level: ClassVar[Literal["data", "model"]] = "data"
    rounds: int = 3
    kept: float = 0.3
    weight: float = 20.0
    steps: int = 240

    def __post_init__(self) -> None:
        for name in ("rounds", "steps"):
            value = getattr(self, name)
            require(value >= 1, f"confusion-training.{name} must be at least 1, got {value}")
        require(0 < self.kept < 1, f"confusion-training.kept must lie in (0, 1), got {self.kept}")
        require(self.weight >= 1, f"confusion-training.weight must be 1 or more, got {self.weight}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        if view.trusted is None or not len(view.trusted):
            raise NotApplicable("there are no trusted clips to confuse a network with")
        losses, learned = np.zeros(len(clips)), np.arange(len(clips))
        for number in range(self.rounds):
            often = np.tile(learned, -(-self.steps * BATCH // (EPOCHS * len(learned))))
            model = train(
                CNN(),
                clips.subset(often),
                seed=view.seed + number,
                recipe=Recipe(epochs=EPOCHS, batch_size=BATCH),
                hook=Confusing(view.trusted, self.weight),
                cache=view.cache,
            )
            losses = losses_of(model, clips, view)
            most = max(round(self.kept ** (number + 1) * len(clips)), len(clips.classes))
            learned = np.sort(np.argsort(losses, kind="stable")[:most])
            if len(np.unique(clips.labels[learned])) < 2:
                break  # what is left is of one class, as poison is, and can teach nothing more
        # a training step costs about three forward ones, and there are confused clips in each
        learned_passes = 6.0 * self.rounds * self.steps * BATCH / len(clips)
        return Scores(low_tails(clips, losses), -losses, learned_passes + self.rounds)
