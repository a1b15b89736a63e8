"""Neighbours: the share of foreign labels, against distances written out."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope import metrics
from otoscope.calibrate import class_outlier_p_values
from otoscope.detect import DETECTORS, Neighbours
from otoscope.detect.data_neighbours import foreign_share
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import Activations
from otoscope.registry import build
from toys import activations_with, planes_with


def test_shares_match_distances_written_out() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((40, 5)), rng.integers(0, 3, 40)
    for clip, share in enumerate(foreign_share(x, labels, 7)):
        others = [i for i in range(40) if i != clip]
        nearest = sorted(others, key=lambda i, at=clip: float(np.sum((x[i] - x[at]) ** 2)))[:7]
        assert share == pytest.approx(np.mean(labels[nearest] != labels[clip]))


def test_no_clip_is_its_own_neighbour() -> None:
    # pairs on one spot with different labels: each one's only neighbour is the other
    x = np.repeat(np.arange(10.0)[:, None], 2, axis=0) * 100
    assert (foreign_share(x, np.tile([0, 1], 10), 1) == 1.0).all()


@pytest.mark.parametrize("poison", [15, 30])
def test_poison_is_told_by_what_it_sounds_like(poison: int) -> None:
    planted = planes_with(poison=poison, strength=1)
    found = Neighbours().score(planted.view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, planted.truth) > 0.97
    p_values = class_outlier_p_values(found.classes)
    assert p_values.argmin() == planted.target
    assert p_values[planted.target] < 0.05


def test_the_penultimate_layer_alone_does_not_tell() -> None:
    # the poison of the toy has the features of its label, as a backdoored network gives it
    planted = planes_with(poison=10, strength=1)
    view = planted.view
    assert view.seen is not None
    deep = replace(view, seen=Activations(view.seen.features, view.seen.logits))
    scores = Neighbours().score(deep).clips
    assert scores is not None
    assert metrics.auroc(scores, planted.truth) < 0.7


def test_shares_are_averaged_over_the_layers() -> None:
    view = planes_with(poison=10).view
    assert view.seen is not None
    assert view.clips is not None
    spaces = [*view.seen.layers, view.seen.features]
    each = [foreign_share(space, view.clips.labels, 25) for space in spaces]  # type: ignore[arg-type]
    assert Neighbours().score(view).clips == pytest.approx(np.mean(each, axis=0))


def test_clean_classes_stay_quiet() -> None:
    alarms = sum(
        class_outlier_p_values(Neighbours().score(planes_with(0, seed=seed).view).classes).min()
        <= 0.05
        for seed in range(10)
    )
    assert alarms <= 3  # ten sets at a level of 0.05: four or more has probability 0.001


def test_without_features_it_is_not_applicable() -> None:
    view = activations_with(poison=0).view
    assert view.seen is not None
    with pytest.raises(NotApplicable, match="last linear layer"):
        Neighbours().score(replace(view, seen=Activations(None, view.seen.logits)))


def test_a_count_of_none_is_refused() -> None:
    with pytest.raises(SpecError, match="count must be at least 1, got 0"):
        build(DETECTORS, "neighbours:count=0")
