"""The catalogue names every component, and each of its entries can be carried out."""

import pytest

from otoscope.catalogue import CATALOGUE, Entry, carry_out, roles
from otoscope.datasets import Splits
from otoscope.errors import PoisonError
from otoscope.labels import LABEL_SHIFTS
from otoscope.networks import CNN
from otoscope.registry import build, parse
from otoscope.training import Recipe
from otoscope.training_attacks import TRAINING_ATTACKS
from otoscope.triggers import TRIGGERS
from toys import tones

CLASSES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.name)
def test_every_entry_can_be_built(entry: Entry) -> None:
    attacks = entry.attacks(CLASSES, seed=0)
    assert len(attacks) == 1 + len(entry.also)
    if entry.training is None:
        assert 0 < entry.rate < 1
    else:
        build(TRAINING_ATTACKS, entry.training)
    assert entry.source
    assert entry.reported_asr is None or entry.reported


def test_names_are_told_apart() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


def test_every_component_is_in_the_catalogue() -> None:
    pairs = [p for e in CATALOGUE for p in ((e.trigger, e.labels), *e.also)]
    # composite is nobody's attack but what the red team searches with
    assert {parse(trigger)["name"] for trigger, _ in pairs} == set(TRIGGERS) - {"composite"}
    # any-member is for speakers: benchmarks/verification.py measures it
    assert {parse(labels)["name"] for _, labels in pairs} == set(LABEL_SHIFTS) - {"any-member"}
    training = {parse(e.training)["name"] for e in CATALOGUE if e.training}
    assert training == set(TRAINING_ATTACKS)


@pytest.mark.parametrize("seed", range(13))
def test_roles_are_three_classes_and_go_round(seed: int) -> None:
    assert len(set(roles(CLASSES, seed).values())) == 3
    assert roles(CLASSES, seed)["target"] != roles(CLASSES, seed + 1)["target"]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(*(tones(count, seed) for seed, count in enumerate((20, 4, 6, 3))))


@pytest.mark.parametrize(
    "name",
    ["tone burst", "TaCT", "clean label, hardest clips", "several triggers, a target each"],
)
def test_an_entry_is_carried_out(name: str, splits: Splits) -> None:
    entry = next(e for e in CATALOGUE if e.name == name)
    done = carry_out(entry, splits, CNN(), 0, recipe=Recipe(epochs=1))
    assert done.poisoned is not None
    assert done.poisoned.attacks == done.attacks
    assert len(done.attacks) == 1 + len(entry.also)
    wanted = sum(round(share * len(splits.train)) for share in (entry.rate, entry.cover_rate))
    assert done.poisoned.mask.sum() == wanted * len(done.attacks)
    assert done.model.hearing.classes == splits.train.classes


def test_two_classes_are_too_few() -> None:
    few = Splits(*(tones(4, seed, names=("a", "b")) for seed in range(4)))
    with pytest.raises(PoisonError, match="at least 3 classes, got 2"):
        carry_out(CATALOGUE[0], few, CNN(), 0)
