"""The meta-classifier: what it reads, how it weighs it, and what it needs."""

import numpy as np
import pytest
import torch
from torch import nn

from otoscope.calibrate import class_distances, draw_p_values, priors_of
from otoscope.calibrating import LOG_ODDS, among_alike, calibrated
from otoscope.detect import MetaClassifier, View
from otoscope.detect.model_meta_classifier import LEARNED, distances, log_odds
from otoscope.errors import NotApplicable
from otoscope.models import FunctionModel, Hearing, TorchModel
from toys import LENGTH, NAMES, RATE_HZ, tones

HEARING = Hearing(NAMES, RATE_HZ, LENGTH)


def small(seed: int, raised: float = 0.0) -> TorchModel:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv1d(1, 8, 32, stride=16), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten()
    )
    network.append(nn.Linear(32, len(NAMES)))
    with torch.no_grad():
        network[4].weight[3] += raised
    return TorchModel(network, HEARING)


def view(model: TorchModel, references: int = 4) -> View:
    known = tuple(small(seed) for seed in range(references))
    return View(model, 0, trusted=tones(4), references=known)


def test_distances_are_logarithms_and_nothing_counts_below_zero() -> None:
    pulls, scores = np.array([0.0, 3.0, -1.0, 1.0, 0.5]), np.array([1.0, 9.0, 2.0, 3.0, 0.0])
    told = distances(pulls, np.array([2.0, 5.0, 1.0, 3.0, 2.0]), scores)
    assert told[:, 0] == pytest.approx(np.log([1, 4, 1, 2, 1.5]))
    assert told[:, 1] == pytest.approx(np.log([1, 4, 1, 2, 1]))
    assert told[:, 2] == pytest.approx(np.log(1 + np.maximum(class_distances(scores), 0)))


def test_the_intercept_comes_first() -> None:
    told = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert log_odds(told, np.array([-3.0, 5.0, 0.5])).tolist() == [2.0, -2.0]


def test_a_class_that_every_test_points_at_has_the_highest_odds() -> None:
    found = MetaClassifier().score(view(small(9, raised=3.0)))
    assert found.classes.argmax() == 3
    fainter = MetaClassifier().score(view(small(9, raised=2.0)))
    assert found.classes.max() > 0
    assert found.classes.max() > fainter.classes.max() > np.sort(found.classes)[-2]
    assert found.recover is not None
    assert found.recover(3).target == NAMES[3]


def test_the_p_value_is_of_the_law_of_clean_models() -> None:
    seen = view(small(9, raised=3.0))
    found = MetaClassifier().score(seen)
    told = calibrated(MetaClassifier(), seen, found)
    law = np.array(priors_of("meta-classifier", "any")[among_alike(LOG_ODDS, len(NAMES))])
    assert told.p_values == pytest.approx(draw_p_values(found.classes, law))
    assert f"{len(law)} clean models" in told.rests_on
    assert len(priors_of("meta-classifier", "any")[LEARNED]) == 4


def test_it_needs_references_and_weights() -> None:
    with pytest.raises(NotApplicable, match="no reference models"):
        MetaClassifier().score(view(small(9), references=0))
    silent = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable):
        MetaClassifier().score(View(silent, 0, trusted=tones(4), references=(small(0),) * 4))
