"""Measures against scipy, scikit-learn and brute force."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from otoscope import metrics
from otoscope.errors import SpecError

# few distinct scores, so that ties are common
scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)
both_kinds = scored.filter(lambda rows: len({positive for _, positive in rows}) == 2)


def columns(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, positive = zip(*rows, strict=True)
    return np.array(scores, dtype=float), np.array(positive)


@given(both_kinds)
def test_auroc_is_scikit_learns_also_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores, positive = columns(rows)
    assert metrics.auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_auroc_of_one_kind_is_not_a_number() -> None:
    assert math.isnan(metrics.auroc(np.array([1.0, 2.0]), np.array([True, True])))
    assert math.isnan(metrics.auroc(np.array([1.0, 2.0]), np.array([False, False])))


@given(both_kinds, st.integers(0, 100))
def test_tpr_at_fpr_is_the_best_of_all_thresholds(
    rows: list[tuple[int, bool]], percent: int
) -> None:
    scores, positive = columns(rows)
    best = max(
        (scores[positive] > threshold).mean()
        for threshold in [-np.inf, *scores]
        if 100 * (scores[~positive] > threshold).sum() <= percent * (~positive).sum()
    )
    assert metrics.tpr_at_fpr(scores, positive, percent / 100) == best


def test_tpr_at_fpr_is_not_fooled_by_rounding() -> None:
    """0.29 x 100 is a little under 29 in floating point; 29 false alarms are allowed."""
    clean, bad = np.arange(100.0), np.array([70.5])
    scores, positive = np.concatenate([clean, bad]), np.arange(101) == 100
    assert metrics.tpr_at_fpr(scores, positive, 0.29) == 1
    assert metrics.tpr_at_fpr(scores, positive, 0.28) == 0


def test_tpr_at_fpr_counts_ties_against_the_detector() -> None:
    assert metrics.tpr_at_fpr(np.array([1.0, 1.0]), np.array([True, False]), 0.0) == 0


def test_tpr_at_fpr_of_one_kind_is_not_a_number() -> None:
    assert math.isnan(metrics.tpr_at_fpr(np.array([1.0]), np.array([True])))
    assert math.isnan(metrics.tpr_at_fpr(np.array([1.0]), np.array([False])))


@pytest.mark.parametrize("fpr", [-0.1, 1.1, float("nan")])
def test_a_false_positive_rate_is_a_share(fpr: float) -> None:
    with pytest.raises(SpecError, match="false-positive rate between 0 and 1"):
        metrics.tpr_at_fpr(np.array([1.0]), np.array([True]), fpr)


def test_accuracy() -> None:
    assert metrics.accuracy(np.array([1, 2, 3]), np.array([1, 2, 0])) == pytest.approx(2 / 3)
    assert math.isnan(metrics.accuracy(np.array([], int), np.array([], int)))


def test_target_class_is_left_out_of_the_success_rate() -> None:
    """Trap: a model that knows the target class well and has no backdoor succeeds nowhere."""
    labels = np.array([0, 0, 1, 1, 1, 1])
    goal = np.ones(6, int)
    honest = labels
    assert metrics.attack_success_rate(honest, goal, labels != goal) == 0
    assert (honest == goal).mean() > 0.6, "what the trap would have reported"
    assert metrics.attack_success_rate(np.array([1, 0, 1, 1, 1, 1]), goal, labels != goal) == 0.5


def test_success_without_attackable_clips_is_not_a_number() -> None:
    ones = np.ones(3, int)
    assert math.isnan(metrics.attack_success_rate(ones, ones, np.zeros(3, bool)))


@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(successes: int, total: int, level: float) -> None:
    assume(successes <= total)
    wanted = binomtest(successes, total).proportion_ci(level, method="wilson")
    low, high = metrics.wilson_interval(successes, total, level)
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert 0 <= low <= successes / total <= high <= 1


def test_wilson_without_trials_knows_nothing() -> None:
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "total"), [(3, 2), (-1, 2)])
def test_wilson_refuses_more_successes_than_trials(successes: int, total: int) -> None:
    with pytest.raises(SpecError, match=f"between 0 and {total} successes, got {successes}"):
        metrics.wilson_interval(successes, total)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(SpecError, match="level between 0 and 1"):
        metrics.wilson_interval(1, 2, level)
    with pytest.raises(SpecError, match="level between 0 and 1"):
        metrics.bootstrap_interval(np.ones(3), seed=0, level=level)


def test_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = [
        low <= 5 <= high
        for low, high in (
            metrics.bootstrap_interval(rng.normal(5, 2, 60), seed=i, rounds=300) for i in range(200)
        )
    ]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_bootstrap_same_seed_same_interval_and_takes_any_statistic() -> None:
    values = np.random.default_rng(1).normal(size=30)
    first = metrics.bootstrap_interval(values, np.median, seed=1)
    assert first == metrics.bootstrap_interval(values, np.median, seed=1)
    assert first[0] <= np.median(values) <= first[1]


def test_bootstrap_of_nothing_is_not_a_number() -> None:
    assert np.isnan(metrics.bootstrap_interval(np.array([]), seed=0)).all()
