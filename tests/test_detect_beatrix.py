"""Beatrix: Gram entries, deviations and the discrepancy, each against its definition in loops."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope import metrics
from otoscope.calibrate import class_outlier_p_values
from otoscope.detect import DETECTORS, Beatrix
from otoscope.detect.data_beatrix import deviations, discrepancy, gram_entries
from otoscope.errors import NotApplicable, SpecError
from otoscope.registry import build
from toys import activations_with, planes_with

RNG = np.random.default_rng(0)


def test_gram_entries_match_their_definition() -> None:
    planes = RNG.standard_normal((3, 4, 5))  # signed, as recurrent layers answer
    for order, entries in enumerate(gram_entries(planes), 1):
        column = 0
        for i in range(4):
            for j in range(i + 1):
                g = sum(
                    planes[:, i, cell] ** order * planes[:, j, cell] ** order for cell in range(5)
                )
                expected = np.sign(g) * np.abs(g) ** (1 / order)
                assert entries[:, column] == pytest.approx(expected)
                column += 1
        assert entries.shape == (3, column)


def test_of_a_single_cell_all_orders_say_the_same() -> None:
    # why penultimate features, one value a channel, would not do
    first, *others = gram_entries(np.abs(RNG.standard_normal((3, 4, 1))))
    for entries in others:
        assert entries == pytest.approx(first)


@pytest.mark.parametrize("margin", [0.0, 2.0, 10.0])
def test_deviations_match_their_definition(margin: float) -> None:
    some, clean = RNG.gamma(1.0, 2.0, (2, 3, 2)), RNG.gamma(1.0, 1.0, (9, 3, 2))
    expected = np.zeros(2)
    pairs = list(zip(gram_entries(some), gram_entries(clean), strict=True))
    for entries, usual in pairs:
        for entry in range(6):
            middle = np.median(usual[:, entry])
            mad = np.median(np.abs(usual[:, entry] - middle))
            low, high = middle - margin * mad, middle + margin * mad
            for clip, value in enumerate(entries[:, entry]):
                if value < low:
                    expected[clip] += (low - value) / abs(low) / 6 / 8
                elif value > high:
                    expected[clip] += (value - high) / abs(high) / 6 / 8
    assert deviations(some, clean, margin) == pytest.approx(expected, rel=1e-3)


def test_the_discrepancy_matches_its_definition() -> None:
    x = RNG.standard_normal((12, 3))
    suspect = np.arange(12) < 4
    distances = [[np.sum((a - b) ** 2) for a in x] for b in x]
    width = np.median(distances)

    def mean(one: np.ndarray, other: np.ndarray) -> float:
        kernels = [
            np.exp(-np.sum((a - b) ** 2) / w)
            for a in one
            for b in other
            for w in (width, width / 2)
        ]
        return 2 * float(np.mean(kernels))

    bad, good = x[suspect], x[~suspect]
    expected = (mean(bad, bad) + mean(good, good) - 2 * mean(bad, good)) * 4 * 8 / 12
    assert discrepancy(x, suspect) == pytest.approx(expected)
    assert discrepancy(x + 5 * suspect[:, None], suspect) > 2 * expected


@pytest.mark.parametrize("trusted", [0, 30])
def test_channels_that_do_not_go_together_give_poison_away(trusted: int) -> None:
    planted = planes_with(poison=15, strength=6, trusted_per_class=trusted)
    found = Beatrix().score(planted.view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, planted.truth) > 0.97
    p_values = class_outlier_p_values(found.classes)
    assert p_values.argmin() == planted.target
    assert p_values[planted.target] < 0.05


def test_trusted_clips_help_where_poison_is_most_of_its_class() -> None:
    alone, helped = (
        planes_with(poison=40, strength=6, trusted_per_class=count) for count in (0, 30)
    )
    target = slice(180, 240)
    reached = []
    for planted in (alone, helped):
        scores = Beatrix().score(planted.view).clips
        assert scores is not None
        reached.append(metrics.auroc(scores[target], planted.truth[target]))
    assert reached[1] > 0.95 > reached[0]


def test_a_few_trusted_clips_of_a_class_tell_no_median() -> None:
    view = planes_with(poison=15, trusted_per_class=7).view
    alone = replace(view, trusted=None, trusted_seen=None)
    assert np.array_equal(Beatrix().score(view).clips, Beatrix().score(alone).clips)  # type: ignore[arg-type]


def test_clean_classes_stay_quiet() -> None:
    alarms = sum(
        class_outlier_p_values(Beatrix().score(planes_with(0, seed=seed).view).classes).min()
        <= 0.05
        for seed in range(10)
    )
    assert alarms <= 3  # ten sets at a level of 0.05: four or more has probability 0.001


def test_only_the_channels_that_vary_most_are_multiplied() -> None:
    view = planes_with(poison=15).view
    assert view.seen is not None
    still = np.concatenate([view.seen.planes[0], np.ones((480, 9, 4), np.float32)], axis=1)
    wider = replace(view, seen=replace(view.seen, planes=(still,)))
    few = Beatrix(channels=6)
    assert np.array_equal(few.score(view).clips, few.score(wider).clips)  # type: ignore[arg-type]


def test_without_planes_it_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no layer whose channels"):
        Beatrix().score(activations_with(poison=0).view)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("beatrix:margin=-1", "margin must be at least 0, got -1"),
        ("beatrix:channels=1", "channels must be at least 2, got 1"),
    ],
)
def test_senseless_parameters_are_refused(broken: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(DETECTORS, broken)
