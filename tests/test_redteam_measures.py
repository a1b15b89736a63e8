"""Measures of a search, against closed forms and other computations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, permutation_test

from otoscope.errors import SpecError
from otoscope.redteam import Bounds, Outcome, Trial, measures


def outcome(success: float, **suspicion: float) -> Outcome:
    return Outcome(success, 0.9, 0.0, 5.0, 20.0, "decided", (1,), suspicion)


def test_evasion_counts_what_worked_and_was_looked_at() -> None:
    outcomes = [
        outcome(0.9, strip=0.5, clean=0.1),
        outcome(0.9, strip=1.5, clean=0.1),
        outcome(0.2, strip=0.0, clean=0.0),
        outcome(0.9, strip=0.1),
        None,
    ]
    both = measures.evasion(outcomes, ("strip", "clean"), Bounds())
    assert (both.worked, both.evaded, both.share) == (2, 1, 0.5)
    one = measures.evasion(outcomes, ("strip",), Bounds())
    assert (one.worked, one.evaded) == (3, 2)
    none = measures.evasion([], ("strip",), Bounds())
    assert np.isnan(none.share)
    assert none.interval == (0.0, 1.0)


def test_degradation_curves() -> None:
    rewards = [0.1, 0.5, 0.2, 0.9, 0.3]
    curve = measures.best_so_far([Trial((0,), r, 0, 0, False) for r in rewards])
    assert curve.tolist() == [0.1, 0.5, 0.5, 0.9, 0.9]
    three = measures.quartiles([np.array([0.0, 4]), np.array([1.0, 2]), np.array([5.0, 3])])
    assert three.tolist() == [[0.5, 2.5], [1, 3], [3, 3.5]]
    with pytest.raises(SpecError, match=r"one length, got \[2, 1\]"):
        measures.quartiles([np.zeros(2), np.zeros(1)])


def test_a_security_curve_counts_by_strength() -> None:
    rate = np.array([0.01, 0.01, 0.02, 0.05, 0.05, 0.05])
    caught = np.array([False, True, True, True, True, False])
    low, high = measures.security_curve(rate, caught, [0.0, 0.02, 0.03, 0.04, 0.1])[::2]
    assert (low.attacks, low.caught) == (2, 0.5)
    assert (high.attacks, high.caught) == (3, pytest.approx(2 / 3))
    assert high.interval[0] < 2 / 3 < high.interval[1]


def test_the_front_is_what_nothing_beats() -> None:
    points = np.array([[1, 3], [2, 2], [3, 1], [1, 1], [2, 2], [0, 3]], float)
    assert measures.pareto_front(points).tolist() == [True, True, True, False, True, False]


@pytest.mark.parametrize("goals", [1, 2, 3, 4])
def test_the_hypervolume_is_the_dominated_share_of_a_grid(goals: int) -> None:
    rng = np.random.default_rng(goals)
    points = rng.integers(0, 6, (12, goals)).astype(float)
    cells = np.array(list(itertools.product(range(6), repeat=goals))) + 0.5
    dominated = (points[:, None] > cells[None]).all(axis=2).any(axis=0).sum()
    assert measures.hypervolume(points, np.zeros(goals)) == pytest.approx(dominated)
    front = points[measures.pareto_front(points)]
    assert measures.hypervolume(front, np.zeros(goals)) == pytest.approx(dominated)


def test_points_below_the_reference_add_nothing() -> None:
    points = np.array([[2.0, 2.0], [5.0, -1.0]])
    assert measures.hypervolume(points, np.zeros(2)) == 4
    assert measures.hypervolume(points, np.full(2, 9.0)) == 0


def test_the_qd_score_never_falls_with_another_cell() -> None:
    assert measures.qd_score({(0, 1): 0.5, (2, 1): -1.0}, worst=-1.5) == pytest.approx(2.5)
    assert measures.qd_score({}, worst=-1.5) == 0


@given(st.lists(st.integers(1, 50), min_size=2, max_size=9))
def test_evenness_is_the_entropy_over_its_highest(counts: list[int]) -> None:
    wanted = entropy(counts, base=len(counts))
    assert measures.evenness([*counts, 0]) == pytest.approx(wanted)


def test_evenness_of_one_kind_is_none() -> None:
    assert np.isnan(measures.evenness([7]))
    assert measures.evenness([3, 3, 3]) == pytest.approx(1)


def test_pairs_of_attacks() -> None:
    corners = np.array([[0.0, 0], [3, 0], [0, 4]])
    assert measures.mean_pairwise_distance(corners) == pytest.approx((3 + 4 + 5) / 3)
    assert np.isnan(measures.mean_pairwise_distance(corners[:1]))


@pytest.mark.parametrize("seed", range(3))
def test_a_paired_comparison_is_the_sign_flip_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.4, 1, 7), rng.normal(0, 1, 7)
    found = measures.paired(first, second)
    wanted = permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.difference == pytest.approx(wanted.statistic)
    assert found.wins + found.losses == 7


def test_five_seeds_can_show_no_more_than_this() -> None:
    found = measures.paired(np.arange(5) + 1.0, np.zeros(5))
    assert (found.p_value, found.wins) == (2 / 32, 5)
    with pytest.raises(SpecError, match="got 2 and 1"):
        measures.paired(np.zeros(2), np.zeros(1))
