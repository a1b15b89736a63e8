"""Confusion training: what is confused and how strongly, and a chirp that outlives it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from otoscope import metrics
from otoscope.batches import Batch
from otoscope.detect import ConfusionTraining
from otoscope.detect.data_confusion_training import Confusing
from otoscope.errors import NotApplicable, SpecError
from otoscope.training import Recipe, Setting
from poisoned import TARGET, poisoned
from toys import tones


class Recorder(nn.Module):
    """Gives the batch as logits, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.heard = features
        return self.scale * features[:, 0]


def test_trusted_clips_are_mixed_in_under_labels_that_they_do_not_have() -> None:
    trusted = tones(2)
    true = torch.nn.functional.one_hot(torch.from_numpy(trusted.labels), 6).float()[:, None] * 100
    hook, body = Confusing(trusted, 20.0), Recorder()
    recipe = Recipe(shift_share=0, shift_bands=0)
    hook.begin(Setting(body, trusted, trusted, lambda _: true, recipe, 0, torch.device("cpu")))
    labels = torch.arange(6)
    batch = Batch(torch.zeros(6, 1, 6), labels, labels)
    loss = hook.gradients(body, batch, np.random.default_rng(0))
    assert body.heard.shape == (12, 1, 6)
    # log 6 for a clip that nothing is known of; 100 for one that is surely something else
    assert loss.item() == pytest.approx((np.log(6) + 19 * 100) / 20, rel=1e-3)
    assert body.scale.grad is not None


def test_poison_outlives_the_confusion() -> None:
    planted = poisoned()
    found = ConfusionTraining(rounds=2, steps=90).score(planted.view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, planted.truth) > 0.9
    assert np.nanargmax(found.classes) == TARGET


def test_without_trusted_clips_it_does_not_speak() -> None:
    view = replace(poisoned().view, trusted=None, trusted_seen=None)
    with pytest.raises(NotApplicable, match="no trusted clips to confuse"):
        ConfusionTraining().score(view)


@pytest.mark.parametrize(
    ("field", "value"), [("rounds", 0), ("steps", 0), ("kept", 1.0), ("weight", 0.5)]
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(SpecError, match=f"confusion-training.{field}"):
        ConfusionTraining(**{field: value})
