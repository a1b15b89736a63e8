"""Confident learning: the joint and the margins by hand, and no clip judged by its own head."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope import metrics
from otoscope.calibrate import class_outlier_p_values
from otoscope.clips import Clips
from otoscope.detect import DETECTORS, ConfidentLearning, View
from otoscope.detect.data_confident_learning import confident_joint, cross_validated, margins
from otoscope.errors import SpecError
from otoscope.registry import build
from toys import RATE_HZ, activations_with, tones


def test_the_joint_of_a_small_example() -> None:
    # thresholds: class 0 (0.9 + 0.2 + 0.4) / 3 = 0.5, class 1 (0.8 + 0.3) / 2 = 0.55
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    labels = np.array([0, 0, 0, 1, 1])
    assert confident_joint(probabilities, labels).tolist() == [[1, 2], [1, 1]]


def test_the_joint_matches_its_definition() -> None:
    rng = np.random.default_rng(0)
    labels, flipped = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    true = np.where(rng.random(200) < 0.2, flipped, labels)
    probabilities = (np.eye(4)[true] + rng.dirichlet(np.ones(4), 200)) / 2
    expected = np.zeros((4, 4), int)
    rows = list(zip(probabilities, labels, strict=True))
    threshold = [np.mean([p[k] for p, y in rows if y == k]) for k in range(4)]
    for p, y in rows:
        confident = [k for k in range(4) if p[k] >= threshold[k]]
        if confident:
            expected[y, max(confident, key=lambda k, p=p: float(p[k]))] += 1
    found = confident_joint(probabilities, labels)
    assert found.tolist() == expected.tolist()
    assert found.sum() < 200, "some clips must be of no class confidently"


def test_a_class_without_clips_is_never_confident() -> None:
    joint = confident_joint(np.array([[0.1, 0.2, 0.7], [0.4, 0.5, 0.1]]), np.array([0, 1]))
    assert joint[:, 2].tolist() == [0, 0, 0]


def test_margins_are_the_likeliest_other_class_less_the_own() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.0, 0.0, 1.0]])
    assert margins(probabilities, np.array([0, 1, 2])) == pytest.approx([-0.3, 0.3, -1.0])


def test_no_clip_is_judged_by_a_head_that_heard_it() -> None:
    # content that says nothing: a head that heard a clip would know its label by heart
    rng = np.random.default_rng(0)
    space = rng.standard_normal((120, 400)).astype(np.float32) / 20
    labels = np.repeat(np.arange(4), 30)
    found = cross_validated(space, labels, 4, 5, seed=0, strength=30)
    assert (found.argmax(axis=1) == labels).mean() < 0.45
    assert found.sum(axis=1) == pytest.approx(np.ones(120), abs=1e-4)


def relabelled(count: int, per_class: int = 40, seed: int = 0) -> tuple[Clips, np.ndarray]:
    """Tones, some of other classes called b; and which."""
    clips = tones(per_class, seed)
    rng = np.random.default_rng(seed)
    bad = np.zeros(len(clips), bool)
    bad[rng.permutation(np.flatnonzero(clips.labels != 1))[:count]] = True
    items = [replace(c, label="b") if b else c for c, b in zip(clips.items, bad, strict=True)]
    return replace(clips, items=tuple(items)), bad


def view_of(clips: Clips) -> View:
    return View(activations_with(0).view.model, 0, clips)


def test_wrong_labels_and_their_class_are_found() -> None:
    clips, bad = relabelled(15)
    found = ConfidentLearning().score(view_of(clips))
    assert found.clips is not None
    assert metrics.auroc(found.clips, bad) > 0.98
    p_values = class_outlier_p_values(found.classes)
    assert p_values.argmin() == 1
    assert p_values[1] < 0.05
    assert found.forward_passes == 0


def test_heads_that_learn_from_trusted_clips_alone_do_not_learn_the_trigger() -> None:
    clips, bad = relabelled(40)
    items = list(clips.items)
    for row in np.flatnonzero(bad):
        click = clips.waveform(int(row)).copy()
        click[:200] += 0.5 * np.sin(2 * np.pi * 3500 * np.arange(200) / RATE_HZ)
        items[row] = clips.with_audio(int(row), click, "b")
    view = view_of(replace(clips, items=tuple(items)))
    reached = []
    for count in (4, 8):  # four of a class are too few to learn from
        scores = ConfidentLearning().score(replace(view, trusted=tones(count, seed=9))).clips
        assert scores is not None
        reached.append(metrics.auroc(scores, bad))
    assert reached[1] > 0.97 > 0.93 > reached[0]


def test_clean_classes_stay_quiet() -> None:
    alarms = sum(
        class_outlier_p_values(
            ConfidentLearning().score(view_of(relabelled(0, 25, seed)[0])).classes
        ).min()
        <= 0.05
        for seed in range(5)
    )
    assert alarms <= 2  # five sets at a level of 0.05: three or more has probability 0.001


def test_a_class_smaller_than_the_folds_does_no_harm() -> None:
    clips, _ = relabelled(0, 25)
    few = np.concatenate([np.flatnonzero(clips.labels != 5), np.flatnonzero(clips.labels == 5)[:2]])
    found = ConfidentLearning().score(view_of(clips.subset(few)))
    assert np.isnan(found.classes[5])
    assert found.clips is not None
    assert np.isfinite(found.clips).all()


def test_same_seed_same_scores() -> None:
    view = view_of(relabelled(5, 25)[0])
    one, two = ConfidentLearning().score(view), ConfidentLearning().score(view)
    assert np.array_equal(one.clips, two.clips)  # type: ignore[arg-type]
    assert np.array_equal(one.classes, two.classes)


@pytest.mark.parametrize(
    ("broken", "message"),
    [("folds=1", "folds must be at least 2, got 1"), ("strength=0", "strength must be above 0")],
)
def test_senseless_parameters_are_refused(broken: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(DETECTORS, f"confident-learning:{broken}")
