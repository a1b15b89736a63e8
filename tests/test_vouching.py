"""Vouching: parts, which is suspect, and what a class or a clip scores; on made-up material."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope import metrics
from otoscope.detect import View, Vouching
from otoscope.detect.subgroups import cut_in_two
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import Activations
from toys import activations_with, tones


def material(
    poisoned: int = 20, *, trusted: int = 0, nuisance: int = 0, seed: int = 0, per_class: int = 60
) -> tuple[View, np.ndarray]:
    """A view whose layers tell the content, and whose features tell the content and a trigger.

    ``poisoned`` clips of other content are called class 1; ``nuisance`` clips of every class carry
    something like the trigger under their true label. The second value is the poison.
    """
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c", "d", "e", "f")
    clips = tones(per_class, seed, names)
    content = clips.labels.copy()
    bad = rng.permutation(np.flatnonzero(content != 1))[:poisoned]
    labels = content.copy()
    labels[bad] = 1
    items = tuple(replace(c, label=names[k]) for c, k in zip(clips.items, labels, strict=True))
    marked = np.zeros(len(labels))
    marked[bad] = 1
    for k in range(6):
        marked[rng.permutation(np.flatnonzero((content == k) & (labels == k)))[:nuisance]] = 1
    looks = np.hstack([4 * np.eye(6)[content], 4 * marked[:, None]])
    looks += rng.standard_normal(looks.shape)
    called = 4 * np.eye(6)[labels] + 0.5 * rng.standard_normal((len(labels), 6))
    features = np.hstack(
        [called, 3 * marked[:, None] + 0.3 * rng.standard_normal((len(labels), 1))]
    )
    known = tones(trusted, seed + 1, names) if trusted else None
    known_seen = None
    if known is not None:
        own = np.eye(6)[known.labels]
        known_seen = Activations(
            np.hstack([4 * own, np.zeros((len(own), 1))])
            + 0.3 * rng.standard_normal((len(own), 7)),
            own,
            (np.hstack([4 * own, np.zeros((len(own), 1))]) + rng.standard_normal((len(own), 7)),),
        )
    base = activations_with(0).view
    view = View(
        base.model,
        seed,
        replace(clips, items=items),
        Activations(features, called, (looks,)),
        known,
        known_seen,
    )
    return view, marked.astype(bool) & (labels != content)


@pytest.mark.parametrize("trusted", [0, 8])
def test_poison_is_found_and_its_class_disowned(trusted: int) -> None:
    view, bad = material(16, trusted=trusted)
    found = Vouching().score(view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, bad) > 0.98
    assert found.classes.argmax() == 1
    assert found.classes[1] > 0.5 > np.sort(found.classes)[-2]


def test_heads_say_what_poisoned_clips_are() -> None:
    view, bad = material(16)
    assert view.clips is not None
    content = [int("abcdef".index(clip.path[0])) for clip in view.clips.items]
    heard = Vouching().look_at(view).content
    assert (heard[bad] == np.array(content)[bad]).mean() > 0.8


def test_trusted_clips_tell_the_innocent_part_when_poison_is_the_greater() -> None:
    view, bad = material(100, trusted=8)
    parts = Vouching().look_at(view).parts
    assert view.clips is not None
    target = view.clips.labels == 1
    assert bad[target].mean() > 0.5
    assert (parts.second == bad)[target].mean() > 0.95


def test_a_nuisance_under_true_labels_disowns_no_class() -> None:
    view, _ = material(0, nuisance=8)
    assert Vouching().score(view).classes.max() < 0.5


def test_clean_classes_are_vouched_for() -> None:
    worst = [Vouching().score(material(0, seed=seed)[0]).classes.max() for seed in range(4)]
    assert max(worst) < 0.5


def test_same_seed_same_scores() -> None:
    view, _ = material(10)
    one, two = Vouching().score(view), Vouching().score(view)
    assert np.array_equal(one.clips, two.clips)  # type: ignore[arg-type]
    assert np.array_equal(one.classes, two.classes)


def test_two_clusters_are_cut_between_them() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((50, 5))
    cloud[:12, 2] += 12
    distance = cut_in_two(cloud, 0)
    assert set(np.flatnonzero(distance > 0)) == set(range(12))
    # half-way between two means that lie about 12 apart
    assert distance[:12].mean() == pytest.approx(6, abs=0.5)


def test_clips_that_are_all_alike_are_not_cut() -> None:
    assert (cut_in_two(np.zeros((30, 4)), 0) < 0).all()
    assert (cut_in_two(np.random.default_rng(0).standard_normal((3, 4)), 0) < 0).all()


def test_without_features_it_is_not_applicable() -> None:
    view, _ = material(0)
    assert view.seen is not None
    blind = replace(view, seen=Activations(None, view.seen.logits))
    with pytest.raises(NotApplicable, match="last linear layer"):
        Vouching().score(blind)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"splits": 0}, "splits must be at least 1"),
        ({"per_class": 2}, "per_class must be at least 5"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Vouching(**fields)  # type: ignore[arg-type]
