"""Universal perturbations: which class answers to them, how loud they are, what they cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from doored import HEARING, Doored
from otoscope.cache import Cache
from otoscope.calibrate import reference_scores
from otoscope.clips import Clips
from otoscope.detect import UniversalPerturbation, View
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import FunctionModel, TorchModel
from toys import LENGTH, tones

LOUDER = UniversalPerturbation(level_db=-30.0)
"""The toys' own noise lies at -27 dB where the door is."""


@pytest.fixture(scope="module")
def trusted() -> Clips:
    return tones(6, 3)


def view(door: float, trusted: Clips, cache: Cache | None = None) -> View:
    return View(TorchModel(Doored(door, least=0.0027), HEARING), 0, trusted=trusted, cache=cache)


def test_the_class_behind_a_door_answers(trusted: Clips) -> None:
    found = LOUDER.score(view(20.0, trusted))
    assert found.classes.argmax() == 2
    assert found.profile is not None
    assert found.profile.tolist() == [found.classes.tolist()]
    assert found.recover is not None
    proved = found.recover(2)
    assert proved.target == "c"
    assert proved.success >= 0.8
    level_db = 10 * np.log10(np.mean(proved.sound**2) / np.mean(proved.before**2))
    assert level_db == pytest.approx(-30.0, abs=0.1)


def test_it_stands_out_from_the_same_model_without_a_door(trusted: Clips) -> None:
    clean = [
        UniversalPerturbation(level_db=-30.0, steps=s).score(view(0.0, trusted)).profile
        for s in (30, 40, 50)
    ]
    found = LOUDER.score(view(20.0, trusted)).profile
    assert found is not None
    apart = reference_scores(found, np.array(clean))
    assert apart.argmax() == 2
    assert apart[2] > 3 > np.delete(apart, 2).max()


def test_a_class_that_every_clip_has_already_answers_to_nothing(trusted: Clips) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(LENGTH, 6))
    with torch.no_grad():
        network[1].bias[4] = 1e6
    found = UniversalPerturbation(steps=2).score(
        View(TorchModel(network, HEARING), 0, trusted=trusted)
    )
    assert found.classes.tolist() == [-8.0] * 6


def test_silent_trusted_clips_spoil_nothing(trusted: Clips) -> None:
    items = list(trusted.items)
    for row in (0, 7, 20):
        items[row] = replace(items[row], samples=np.zeros((1, LENGTH), np.float32))
    found = UniversalPerturbation(steps=10).score(view(20.0, replace(trusted, items=tuple(items))))
    assert np.isfinite(found.classes).all()


def test_its_cost_is_what_it_says_and_is_paid_once(trusted: Clips, tmp_path: Path) -> None:
    seen = view(0.0, trusted, Cache(tmp_path))
    assert isinstance(seen.model, TorchModel)
    network = seen.model.module
    assert isinstance(network, Doored)
    first = UniversalPerturbation(steps=5).score(seen)
    assert network.passed <= first.forward_passes * len(trusted) + 1e-6
    paid = network.passed
    second = UniversalPerturbation(steps=5).score(seen)
    assert network.passed == paid
    assert second.classes.tolist() == first.classes.tolist()


def test_what_it_needs(trusted: Clips) -> None:
    silent = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable, match="no gradient"):
        LOUDER.score(View(silent, 0, trusted=trusted))
    one = trusted.subset(trusted.labels == 0)
    with pytest.raises(NotApplicable, match="at least two classes"):
        LOUDER.score(view(0.0, one))
    with pytest.raises(SpecError, match="steps must be 1 or more"):
        UniversalPerturbation(steps=0)
