"""Draws of clips: every class keeps its share, and so does what is rare in it."""

import numpy as np

from otoscope.sampling import LEAST_OF_CLASS, stratified


def test_few_clips_are_all_taken() -> None:
    labels = np.array([2, 0, 1, 0])
    assert stratified(labels, 4).tolist() == [0, 1, 2, 3]


def test_every_class_and_what_is_rare_in_it_keep_their_share() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 60_000, p=[0.7, 0.2, 0.1])
    poison = (labels == 2) & (rng.random(60_000) < 0.1)
    rows = stratified(labels, 12_000, seed=3)
    assert (np.diff(rows) > 0).all()
    assert abs(len(rows) - 12_000) < 3
    sizes = np.bincount(labels[rows]) / np.bincount(labels)
    assert abs(sizes - 0.2).max() < 0.001
    # 600 poisoned clips, a fifth of them drawn: 120 with a deviation of sqrt(600 x 0.2 x 0.8) = 10
    assert 80 < poison[rows].sum() < 160
    assert (stratified(labels, 12_000, seed=3) == rows).all()
    assert (stratified(labels, 12_000, seed=4) != rows).any()


def test_small_classes_are_not_cut_away() -> None:
    labels = np.repeat([0, 1, 2], [5000, 100, 40])
    drawn = np.bincount(labels[stratified(labels, 500)])
    assert drawn[1:].tolist() == [LEAST_OF_CLASS, 40]
