"""SCAn: the decomposition, the likelihood ratio and the subgroups, each against another way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from otoscope import metrics
from otoscope.calibrate import anomaly_index
from otoscope.detect import DETECTORS, Scan
from otoscope.detect.data_scan import decompose, likeliest_pair
from otoscope.errors import SpecError
from otoscope.registry import build
from toys import activations_with


def drawn(
    classes: int, per_class: int | list[int], seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Activations of random classes in three dimensions, labels, and both true covariances."""
    rng = np.random.default_rng(seed)
    one, two = rng.standard_normal((2, 3, 3))
    between, within = 4 * one @ one.T + np.eye(3), two @ two.T + 0.5 * np.eye(3)
    labels = np.repeat(np.arange(classes), per_class)
    identities = rng.multivariate_normal(np.zeros(3), between, classes)
    noise = rng.multivariate_normal(np.zeros(3), within, len(labels))
    return 5 + identities[labels] + noise, labels, between, within


def test_em_finds_the_known_solution_of_a_balanced_design() -> None:
    # n clips in each of K classes: the variation is the pooled scatter over K (n - 1), and the
    # identities are the covariance of the class means less a share 1 / n of the variation
    x, labels, _, _ = drawn(30, 8)
    means = np.stack([x[labels == k].mean(axis=0) for k in range(30)])
    pooled = np.mean([np.cov(x[labels == k].T) for k in range(30)], axis=0)
    between, within = decompose(x, labels, shrinkage=0.0)
    assert within == pytest.approx(pooled, rel=1e-3, abs=1e-3)
    assert between == pytest.approx(np.cov(means.T, bias=True) - pooled / 8, rel=1e-2, abs=1e-2)


def log_likelihood(
    x: np.ndarray, labels: np.ndarray, between: np.ndarray, within: np.ndarray
) -> float:
    """All clips of a class as one normal vector whose blocks share the class's identity."""
    total = 0.0
    for k in np.unique(labels):
        rows = x[labels == k] - x.mean(axis=0)
        n = len(rows)
        joint = np.kron(np.ones((n, n)), between) + np.kron(np.eye(n), within)
        total += multivariate_normal(np.zeros(3 * n), joint).logpdf(rows.ravel())
    return total


def test_each_round_of_em_raises_the_likelihood() -> None:
    x, labels, _, _ = drawn(12, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
    reached = [
        log_likelihood(x, labels, *decompose(x, labels, shrinkage=0.0, rounds=rounds))
        for rounds in range(6)
    ]
    assert (np.diff(reached) > -1e-6).all()
    assert reached[-1] > reached[0] + 0.01


def test_the_decomposition_recovers_what_was_drawn() -> None:
    x, labels, between, within = drawn(400, 5)
    found = decompose(x, labels, shrinkage=0.0)
    assert found[0] == pytest.approx(between, abs=0.15 * np.abs(between).max())
    assert found[1] == pytest.approx(within, abs=0.1 * np.abs(within).max())


def test_fewer_clips_than_features_are_borne() -> None:
    rng = np.random.default_rng(0)
    _, within = decompose(rng.standard_normal((30, 50)), np.repeat(np.arange(5), 6))
    assert np.linalg.eigvalsh(within).min() > 0.1  # the true ones are all 1


def test_the_statistic_is_twice_the_gain_in_log_likelihood() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4))
    x[:20] += [6, 0, 0, 0]
    pair = likeliest_pair(x, starts=3)
    assert pair is not None
    second = pair.log_ratio(x) > 0
    assert set(np.flatnonzero(second)) == set(range(20))
    normal = multivariate_normal(np.zeros(4), np.eye(4))
    one = normal.logpdf(x - x.mean(axis=0)).sum()
    two = sum(normal.logpdf(x[s] - x[s].mean(axis=0)).sum() for s in (second, ~second))
    assert pair.statistic == pytest.approx(2 * (two - one))
    told = normal.logpdf(x - x[:20].mean(axis=0)) - normal.logpdf(x - x[20:].mean(axis=0))
    assert pair.log_ratio(x) == pytest.approx(told)


def test_more_starts_are_never_less_likely() -> None:
    x = np.random.default_rng(1).standard_normal((80, 12))
    reached = [likeliest_pair(x, starts) for starts in (1, 2, 5)]
    found = [pair.statistic for pair in reached if pair is not None]
    assert len(found) == 3
    assert found == sorted(found)


def test_clips_that_cannot_be_cut_make_no_pair() -> None:
    assert likeliest_pair(np.zeros((30, 3)), starts=3) is None


@pytest.mark.parametrize("trusted", [0, 10])
def test_the_anomaly_index_accuses_the_poisoned_class_alone(trusted: int) -> None:
    view = activations_with(poison=25, distance=9, trusted_per_class=trusted).view
    found = Scan().look_at(view)
    assert found.anomaly_index == pytest.approx(anomaly_index(found.statistic))
    assert list(np.flatnonzero(found.anomaly_index > np.e**2)) == [3]


@pytest.mark.parametrize(("poison", "trusted"), [(25, 0), (25, 10), (55, 10)])
def test_the_suspect_subgroup_is_the_poison(poison: int, trusted: int) -> None:
    planted = activations_with(poison=poison, distance=9, trusted_per_class=trusted)
    found = Scan().look_at(planted.view)
    target = slice(240, 320)
    assert (found.suspect == planted.truth)[target].mean() > 0.97
    scores = Scan().score(planted.view).clips
    assert scores is not None
    assert metrics.tpr_at_fpr(scores, planted.truth) > 0.97


def test_poison_does_not_hide_by_spreading_the_variation() -> None:
    # poison so distant that it rules the covariance of all clips together
    view = activations_with(poison=40, distance=40, per_class=80).view
    assert view.clips is not None
    assert view.seen is not None
    assert view.seen.features is not None
    features = view.seen.features
    _, spread = decompose(features, view.clips.labels)
    apart = features[240:280].mean(axis=0) - features[280:320].mean(axis=0)
    hidden = apart @ np.linalg.solve(spread, apart) / 4  # per clip, of two equal halves
    assert Scan().look_at(view).statistic[3] > 5 * hidden


def test_a_handful_of_trusted_clips_is_not_fitted_to() -> None:
    view = activations_with(poison=20, trusted_per_class=3).view  # 24 clips of 8 classes
    alone = replace(view, trusted=None, trusted_seen=None)
    assert Scan().look_at(view).statistic == pytest.approx(Scan().look_at(alone).statistic)


def test_faulty_starts_are_refused() -> None:
    with pytest.raises(SpecError, match="starts must be at least 1, got 0"):
        build(DETECTORS, "scan:starts=0")
