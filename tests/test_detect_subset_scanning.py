"""Subset scanning: p-values and the maximum over subsets, each against a search without tricks."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from otoscope import metrics
from otoscope.detect import DETECTORS, SubsetScanning, View
from otoscope.detect.data_subset_scanning import berk_jones, p_values
from otoscope.errors import SpecError
from otoscope.registry import build
from toys import planes_with

RNG = np.random.default_rng(0)


def kl(share: float, alpha: float) -> float:
    """Kullback-Leibler divergence of two coins; 0 where the share is no more than expected."""
    if share <= alpha:
        return 0.0
    rest = (1 - share) * np.log((1 - share) / (1 - alpha)) if share < 1 else 0.0
    return float(share * np.log(share / alpha) + rest)


@pytest.mark.parametrize("largest", [0.1, 0.5])
def test_no_subset_and_no_level_beats_the_linear_search(largest: float) -> None:
    for p in RNG.uniform(0.001, 1, (20, 7)):
        best = 0.0
        for alpha in p[p <= largest]:
            for size in range(1, 8):
                for some in combinations(p, size):
                    share = np.mean(np.array(some) <= alpha)
                    best = max(best, size * kl(float(share), float(alpha)))
        assert berk_jones(p[None], largest)[0] == pytest.approx(best)


def test_p_values_count_clean_answers_that_are_at_least_as_large() -> None:
    clean = RNG.integers(0, 4, (15, 3)).astype(np.float32)  # many ties
    clips = RNG.integers(0, 5, (6, 3)).astype(np.float32)
    expected = [
        [(1 + sum(c >= x for c in clean[:, node])) / 16 for node, x in enumerate(clip)]
        for clip in clips
    ]
    assert p_values(clips, np.sort(clean, axis=0), among_them=False) == pytest.approx(
        np.array(expected)
    )


def test_a_clip_among_the_clean_ones_is_compared_with_the_others() -> None:
    clips = RNG.standard_normal((9, 4))
    found = p_values(clips, np.sort(clips, axis=0), among_them=True)
    for row in range(9):
        others = np.sort(np.delete(clips, row, axis=0), axis=0)
        assert found[row] == pytest.approx(p_values(clips[row : row + 1], others, False)[0])


def woken(trusted: int = 0) -> tuple[View, np.ndarray]:
    """A view in which a third of the nodes answer loudly to some clips of class 3; and which."""
    view = planes_with(poison=0, trusted_per_class=trusted).view
    assert view.seen is not None
    (plane,) = view.seen.planes
    bad = np.isin(np.arange(len(plane)), np.arange(180, 192))
    louder = plane.copy()
    louder[bad, :4, 2:] += RNG.gamma(9.0, 1.0, (12, 4, 2))
    return replace(view, seen=replace(view.seen, planes=(louder,))), bad


@pytest.mark.parametrize("trusted", [0, 10])
def test_nodes_that_answer_to_the_trigger_give_poison_away(trusted: int) -> None:
    view, bad = woken(trusted)
    found = SubsetScanning().score(view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, bad) > 0.97
    assert found.classes.argmax() == 3


def test_the_first_layer_is_scanned_too() -> None:
    view, _ = woken()
    assert view.seen is not None
    (plane,) = view.seen.planes
    silent = np.zeros_like(plane)
    early = replace(view, seen=replace(view.seen, planes=(plane, silent, silent, silent)))
    found, expected = SubsetScanning().score(early), SubsetScanning().score(view)
    assert np.array_equal(found.clips, expected.clips)  # type: ignore[arg-type]


def test_a_few_trusted_clips_are_no_reference() -> None:
    view = planes_with(poison=12, trusted_per_class=2).view  # 16 clips
    alone = replace(view, trusted=None, trusted_seen=None)
    found, expected = SubsetScanning().score(view), SubsetScanning().score(alone)
    assert np.array_equal(found.clips, expected.clips)  # type: ignore[arg-type]


def test_without_planes_the_features_are_scanned() -> None:
    view = planes_with(poison=0).view
    assert view.seen is not None
    bare = replace(view, seen=replace(view.seen, planes=()))
    scores = SubsetScanning().score(bare).clips
    assert scores is not None
    ranks = p_values(view.seen.features, np.sort(view.seen.features, axis=0), True)  # type: ignore[arg-type]
    assert scores == pytest.approx(berk_jones(ranks, 0.05))


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(SpecError, match=r"alpha must be in \(0, 1\), got 1"):
        build(DETECTORS, "subset-scanning:alpha=1")
