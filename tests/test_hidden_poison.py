"""A training that hides its poison: what it costs, what it hides, and that it can be repeated."""

from typing import cast

import numpy as np
import pytest
import torch

from otoscope.auditing import audit
from otoscope.batches import Batch
from otoscope.cache import Cache
from otoscope.cleaning import clean
from otoscope.clips import Clips
from otoscope.detect import IndependentWitness, Witness, own_network
from otoscope.evidence import Outcome
from otoscope.labels import AllToOne
from otoscope.models import FunctionModel, TorchModel, activations
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


@pytest.fixture
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(_: CNN, clips: Clips, *, seed: int, cache: object) -> TorchModel:
        return train(NETWORK, clips, seed=seed, recipe=RECIPE)

    monkeypatch.setattr(own_network, "train", small)


def trained(bad: Poisoned, weight: float | None) -> TorchModel:
    hook = None if weight is None else HiddenPoison(bad.mask, weight)
    return train(NETWORK, bad.clips, seed=0, recipe=RECIPE, hook=hook)


def mute(model: TorchModel) -> FunctionModel:
    """The same model, nothing of its inside shown."""
    return FunctionModel(lambda sounds: model.logits(torch.tensor(sounds)).numpy(), model.hearing)


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


@pytest.mark.usefixtures("small_probe")
@pytest.mark.parametrize("shows", [True, False])
def test_a_network_of_our_own_sees_what_a_training_hid(
    bad: Poisoned, cache: Cache, shows: bool
) -> None:
    known, hidden = tones(8, 9), trained(bad, 1.0)
    model = hidden if shows else mute(hidden)
    through, both = (
        audit(model, bad.clips, trusted=known, detectors=detectors, cache=cache)
        for detectors in ([Witness()], [Witness(), IndependentWitness()])
    )
    assert through.outcome is (Outcome.NO_EVIDENCE if shows else Outcome.INCONCLUSIVE)
    assert both.p_value is not None
    assert both.p_value < 1e-4
    assert both.targets == ["b"]
    flagged = np.array([clip.flagged for clip in both.clips])
    assert flagged[bad.mask].mean() > 0.9
    assert not flagged[~bad.mask].any()
    assert any("a training hides" in line for line in through.not_tested)
    assert not any("a training hides" in line for line in both.not_tested)


@pytest.mark.usefixtures("small_probe")
def test_cleaning_sees_it_too(bad: Poisoned, cache: Cache) -> None:
    model, known = trained(bad, 1.0), tones(8, 9)
    assert not clean(bad.clips, model=model, trusted=known, rounds=1, cache=cache).flagged.any()
    for some, rounds in ((model, 2), (mute(model), 1)):
        found = clean(bad.clips, model=some, trusted=known, rounds=rounds, cache=cache)
        assert found.flagged[bad.mask].mean() > 0.9
        assert not found.flagged[~bad.mask].any()
