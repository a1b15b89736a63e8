"""Loss dynamics: the ascent below the floor by hand, and a chirp that is learned before tones."""

import numpy as np
import pytest
import torch
from torch import nn

from otoscope import metrics
from otoscope.batches import Batch
from otoscope.detect import LossDynamics
from otoscope.detect.data_loss_dynamics import Ascending, low_tails
from otoscope.errors import SpecError
from poisoned import TARGET, poisoned
from toys import tones


def test_a_loss_below_the_floor_is_ascended() -> None:
    body = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        body.weight.copy_(torch.tensor([[3.0], [0.0]]))
    features, labels = torch.ones(1, 1), torch.tensor([0])
    loss = nn.functional.cross_entropy(body(features), labels)
    (down,) = torch.autograd.grad(loss, body.weight)
    rng = np.random.default_rng(0)
    for floor, sign in ((0.5, -1.0), (0.01, 1.0)):
        body.zero_grad(set_to_none=True)
        Ascending(floor).gradients(body, Batch(features, labels, torch.tensor([0])), rng)
        assert body.weight.grad is not None
        assert torch.allclose(body.weight.grad, sign * down)


def test_each_class_scores_its_lowest_losses() -> None:
    clips = tones(20)
    losses = np.ones(len(clips))
    losses[:3] = np.e**-5
    found = low_tails(clips, losses)
    assert found[0] == pytest.approx(5.0)
    assert found[1:] == pytest.approx(np.zeros(5))


def test_poison_is_learned_first() -> None:
    planted = poisoned()
    found = LossDynamics(epochs=20).score(planted.view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, planted.truth) > 0.8
    assert np.nanargmax(found.classes) == TARGET
    assert found.forward_passes == 61


@pytest.mark.parametrize(("field", "value"), [("epochs", 0), ("floor", -1.0)])
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(SpecError, match=f"loss-dynamics.{field}"):
        LossDynamics(**{field: value})
