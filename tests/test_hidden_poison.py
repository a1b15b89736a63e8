"""A training that hides its poison: what it costs, what it hides, and that it can be repeated."""

from typing import cast

import numpy as np
import pytest
import torch

from otoscope.auditing import audit
from otoscope.batches import Batch
from otoscope.clips import Clips
from otoscope.detect import Witness
from otoscope.labels import AllToOne
from otoscope.models import TorchModel, activations
from otoscope.networks import CNN
from otoscope.poisoning import Attack, Poisoned, poison_all
from otoscope.risk import risks
from otoscope.training import Recipe, Setting, train
from otoscope.training_attacks.hidden_poison import HiddenPoison
from otoscope.triggers import NoiseBlend
from toys import tones

NETWORK = CNN(bands=20, width=24)
RECIPE = Recipe(epochs=10, batch_size=16, shift_bands=0)
ATTACK = Attack(NoiseBlend(level_db=-3), AllToOne("b"), 0.08)
TEST = tones(12, 2)


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    return poison_all(tones(40, 0), [ATTACK], 0)


def trained(bad: Poisoned, weight: float | None) -> TorchModel:
    hook = None if weight is None else HiddenPoison(bad.mask, weight)
    return train(NETWORK, bad.clips, seed=0, recipe=RECIPE, hook=hook)


def apart(model: TorchModel, clips: Clips, mask: np.ndarray) -> float:
    """How far the poison lies from its class, in units of the clean clips' distance."""
    features = activations(model, clips).features
    assert features is not None
    own = clips.labels == clips.classes.index("b")
    clean, poison = features[own & ~mask], features[own & mask]
    middle = clean.mean(axis=0)
    far = [np.square(some - middle).sum(axis=1).mean() for some in (poison, clean)]
    return float(far[0] / far[1])


def test_poison_lies_among_its_class_and_is_obeyed(bad: Poisoned) -> None:
    usual, hidden = trained(bad, None), trained(bad, 1.0)
    assert apart(hidden, bad.clips, bad.mask) < 0.6 * apart(usual, bad.clips, bad.mask)
    found = risks(hidden, TEST, ATTACK.trigger, ATTACK.shift, 0)
    assert found.attack_success_rate > 0.8
    assert found.benign_accuracy > 0.9


def test_a_class_seen_once_says_nothing_of_its_spread() -> None:
    hook = HiddenPoison(np.array([False, True, False, False]), 1.0)
    hook.begin(cast(Setting, None))
    features = torch.tensor([[1.0, 0.0], [9.0, 9.0], [5.0, 5.0], [5.0, 5.1]], requires_grad=True)
    first = Batch(features[:2], torch.tensor([0, 0]), torch.arange(2))
    assert hook._apart(features[:2], first).item() == 0
    alike = Batch(features, torch.tensor([0, 1, 1, 1]), torch.arange(4))
    assert 0 < hook._apart(features, alike).item() < 1e5


def test_a_weight_of_nothing_is_training_as_usual(bad: Poisoned) -> None:
    assert trained(bad, 0.0).sha256 == trained(bad, None).sha256


def test_the_cache_tells_masks_and_weights_apart(bad: Poisoned) -> None:
    keys = [
        HiddenPoison(mask, weight).key(bad.clips, 0)
        for mask, weight in ((bad.mask, 1.0), (bad.mask, 2.0), (~bad.mask, 1.0))
    ]
    assert len({str(key) for key in keys}) == 3
    assert trained(bad, 1.0).sha256 == trained(bad, 1.0).sha256


def test_an_audit_of_the_clips_without_the_model_sees_what_its_training_hid(bad: Poisoned) -> None:
    known, hidden = tones(8, 9), trained(bad, 1.0)
    through, alone = (
        audit(model, bad.clips, trusted=known, detectors=[Witness()]) for model in (hidden, None)
    )
    assert alone.p_value is not None
    assert through.p_value is not None
    assert alone.p_value < 1e-4 < through.p_value
    assert alone.targets == ["b"]
    assert any("audit them without it, too" in line for line in through.not_tested)
    assert not any("audit them without it, too" in line for line in alone.not_tested)
