"""Loss dynamics: a trigger is learned before the words are."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from otoscope.batches import Batch
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, members_by_class, require_clips
from otoscope.models import AudioModel, logits_of
from otoscope.networks import CNN
from otoscope.registry import Spec, require
from otoscope.training import Recipe, TrainingHook, train


@dataclass(frozen=True)
class Ascending(TrainingHook):
    """Local gradient ascent: no loss is pushed below ``floor``, on the mean of a batch."""

    floor: float
    keeps_last = True

    def key(self, clips: Clips, seed: int) -> Spec:
        return {"hook": "ascending", **vars(self)}

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        each = nn.functional.cross_entropy(body(batch.features), batch.labels, reduction="none")
        loss = (torch.sign(each - self.floor) * each).mean()
        torch.autograd.backward(loss)
        return loss


@dataclass(frozen=True)
class LossDynamics(Detector):
    """Li et al., Anti-Backdoor Learning (2110.11571): the isolation of low losses.

    The small CNN learns the clips for ``epochs`` epochs under local gradient ascent, which descends
    on a clip whose loss lies over ``floor`` (the paper's gamma) and ascends below it, so that what
    is learned easily, and only that, keeps jumping down. A clip scores minus its loss after the
    last epoch. A class scores minus the logarithm of the 0.05 quantile of its clips' losses.

    Deviations: epochs that are to our 24 as the paper's 20 to its 100; a network of ours whatever
    the audited model is, since the dynamics are those of a training that the detector itself runs.
    """

    name: ClassVar[str] = "loss-dynamics"
    level: ClassVar[Literal["data", "model"]] = "data"
    epochs: int = 5
    floor: float = 0.5

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"loss-dynamics.epochs must be at least 1, got {self.epochs}")
        require(self.floor >= 0, f"loss-dynamics.floor must not be negative, got {self.floor}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        model = train(
            CNN(),
            clips,
            seed=view.seed,
            recipe=Recipe(epochs=self.epochs),
            hook=Ascending(self.floor),
            cache=view.cache,
        )
        losses = losses_of(model, clips, view)
        # a training step costs about three forward ones
        return Scores(low_tails(clips, losses), -losses, 3.0 * self.epochs + 1)


def losses_of(model: AudioModel, clips: Clips, view: View) -> Float[np.ndarray, "clips"]:
    """The cross-entropy of every clip: one forward pass."""
    logits = torch.from_numpy(logits_of(model, clips, view.cache).astype(np.float64))
    labels = torch.from_numpy(clips.labels)
    return np.asarray(nn.functional.cross_entropy(logits, labels, reduction="none").numpy())


def low_tails(clips: Clips, losses: Float[np.ndarray, "clips"]) -> Float[np.ndarray, "classes"]:
    """Minus the logarithm of the 0.05 quantile of each class's losses."""
    classes = np.full(len(clips.classes), np.nan)
    for k, members in members_by_class(clips):
        classes[k] = -np.log(max(float(np.quantile(losses[members], 0.05)), 1e-9))
    return classes
