"""Calibration: what a p-value promises, checked by simulation and by hand."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from otoscope.calibrate import (
    anomaly_index,
    benjamini_hochberg,
    cauchy_combination,
    class_outlier_p_values,
    conformal_p_values,
    new_draw_p_values,
    upper_draw_p_values,
    within_class_scale,
)


def test_anomaly_index_by_hand() -> None:
    # median 3, deviations 2 1 0 1 97, median absolute deviation 1
    index = anomaly_index(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert index == pytest.approx(np.array([-2, -1, 0, 1, 97]) / 1.4826)


@pytest.mark.parametrize("classes", [5, 12, 35])
def test_clean_models_are_accused_no_more_often_than_promised(classes: int) -> None:
    rng = np.random.default_rng(1)
    smallest = [
        class_outlier_p_values(7 + 3 * rng.standard_normal(classes)).min() for _ in range(2000)
    ]
    for level in (0.01, 0.05, 0.2):
        alarms = np.mean(np.array(smallest) <= level)
        assert alarms == pytest.approx(level, abs=4 * np.sqrt(level / 2000))


def test_one_far_class_is_found_and_named() -> None:
    scores = np.random.default_rng(2).standard_normal(12)
    scores[4] = 12.0
    p_values = class_outlier_p_values(scores)
    assert p_values.argmin() == 4
    assert p_values[4] < 0.001
    assert np.delete(p_values, 4).min() > 0.05


def test_only_the_high_side_is_suspicious() -> None:
    scores = np.random.default_rng(3).standard_normal(12)
    scores[0] = -20.0
    assert class_outlier_p_values(scores)[0] == 1.0


def test_equal_scores_are_no_finding() -> None:
    assert class_outlier_p_values(np.full(8, 2.5)).min() > 0.5


def test_ties_do_not_make_small_differences_large() -> None:
    scores = np.array([0.0] * 9 + [0.1, 0.2, 0.3])
    p_values = class_outlier_p_values(scores)
    assert p_values[9:11].min() > 0.05  # by a scale of 0, each would be as far out as can be
    assert p_values.min() > 0.001


def test_location_and_scale_do_not_matter() -> None:
    scores = np.random.default_rng(4).standard_normal(10)
    assert np.array_equal(class_outlier_p_values(scores), class_outlier_p_values(5 * scores - 2))


def test_a_loud_class_is_not_a_guilty_one() -> None:
    rng = np.random.default_rng(8)
    labels = np.repeat([0, 1], 400)
    scores = rng.standard_normal(800) * np.where(labels, 5.0, 0.1) + 30 * labels
    alike = within_class_scale(scores, labels)
    p_values = conformal_p_values(alike[labels == 1], alike[labels == 0])
    assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=0.04)


def test_poison_stands_out_of_a_class_that_is_mostly_poison() -> None:
    rng = np.random.default_rng(9)
    scores = rng.standard_normal(400) + 20 * (np.arange(400) < 240)
    alike = within_class_scale(scores, np.zeros(400, dtype=int))
    assert alike[:240].min() > alike[240:].max()


def test_conformal_p_values_by_hand() -> None:
    p_values = conformal_p_values(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert p_values == pytest.approx([5 / 5, 4 / 5, 1 / 5])


def test_conformal_p_values_are_uniform_for_clean_clips() -> None:
    rng = np.random.default_rng(5)
    p_values = conformal_p_values(rng.standard_normal(5000), rng.standard_normal(5000))
    assert np.mean(p_values <= 0.1) == pytest.approx(0.1, abs=0.02)


def test_cauchy_combination_of_one_test_is_that_test() -> None:
    assert cauchy_combination(np.array([[0.03, 0.4]])) == pytest.approx([0.03, 0.4])


def test_cauchy_combination_holds_its_level_under_dependence() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(6)
    shared = rng.standard_normal(20000)
    tests = norm.sf(0.9 * shared + np.sqrt(1 - 0.81) * rng.standard_normal((5, 20000)))
    assert np.mean(cauchy_combination(tests) <= 0.01) <= 0.013


def test_one_clean_looking_test_does_not_cancel_a_finding() -> None:
    assert cauchy_combination(np.array([1e-4, 1.0])) < 0.001
    assert cauchy_combination(np.array([0.009, 0.99, 0.99, 0.99, 0.99])) < 0.05


def test_the_upper_half_of_a_law_tells_its_tail() -> None:
    rng = np.random.default_rng(8)
    told = [
        upper_draw_p_values(np.expm1(draws[:1]), np.expm1(draws[1:]))[0]
        for draws in rng.normal(3.0, 0.4, (2000, 41))
    ]
    assert np.mean(np.array(told) <= 0.05) == pytest.approx(0.05, abs=0.015)
    law = np.expm1(rng.normal(3.0, 0.4, 81))
    skewed = np.where(law < np.median(law), law / 10, law)
    strong = np.array([100.0])
    assert upper_draw_p_values(strong, skewed) == pytest.approx(upper_draw_p_values(strong, law))
    assert new_draw_p_values(strong, skewed) > 5 * upper_draw_p_values(strong, skewed)


def test_a_test_that_counts_as_much_as_the_others_together_is_halved_not_divided_by_five() -> None:
    alone = np.array([0.01, 0.5, 0.5, 0.5, 0.5])
    assert cauchy_combination(alone) == pytest.approx(0.05, abs=0.001)
    assert cauchy_combination(alone, weights=[4, 1, 1, 1, 1]) == pytest.approx(0.02, abs=0.001)
    tests = np.random.default_rng(7).random((5, 20000))
    assert np.mean(cauchy_combination(tests, weights=[4, 1, 1, 1, 1]) <= 0.05) <= 0.06


def test_benjamini_hochberg_matches_scipy() -> None:
    rng = np.random.default_rng(7)
    p_values = np.concatenate([rng.uniform(0, 1e-3, 20), rng.uniform(0, 1, 200)])
    assert np.array_equal(
        benjamini_hochberg(p_values, 0.1), false_discovery_control(p_values) <= 0.1
    )


def test_benjamini_hochberg_of_nothing() -> None:
    assert benjamini_hochberg(np.zeros(0), 0.1).shape == (0,)
    assert not benjamini_hochberg(np.array([0.5, 0.9]), 0.1).any()
