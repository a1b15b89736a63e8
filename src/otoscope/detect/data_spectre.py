"""SPECTRE: poison stands out once a class is whitened by the covariance of its clean majority."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.linalg import LinearOperator, eigsh

from otoscope.detect.base import (
    Detector,
    Scores,
    View,
    all_alike,
    members_by_class,
    require_features,
)
from otoscope.detect.subgroups import Features, whitening
from otoscope.registry import require

ROUNDS = 20
"""The minority is put aside in so many equal steps."""

CLIPS_PER_DIRECTION = 10
"""A covariance is estimated in at most so many times fewer directions than there are clips."""


@dataclass(frozen=True)
class Spectre(Detector):
    """Hayase, Kong, Somani, Oh, 2104.11315 (ICML 2021), class by class.

    A class's activations are reduced by PCA to k directions. Mean and covariance of its clean
    majority are estimated robustly (``majority_of``, after Diakonikolas et al., 1703.00893), and
    all its clips are whitened by them. A clip scores quantum entropy (QUE): x' Q x, where Q weighs
    directions by exp(``alpha`` (S - 1) / (|S| - 1)) with S the whitened second moments: between the
    squared norm (0) and the squared projection on one direction (infinity). k is the square number,
    up to ``components``, whose QUE gain is largest: the mean score, in all directions kept, of the
    class whitened by its clips of lowest score. A class scores the logarithm of that gain, by which
    the paper picks the target class.

    Deviations: the rate of poison is not told, so the majority is always ``majority`` of a class
    (the paper keeps 1 - 1.5 times the rate), and a fixed share is put aside in each round instead
    of what exceeds a tail bound, whose constants never apply to a few hundred clips; directions are
    limited to a tenth of the class's clips; second moments are taken about the robust mean.
    """

    name: ClassVar[str] = "spectre"
    level: ClassVar[Literal["data", "model"]] = "data"
    majority: float = 0.55
    alpha: float = 4.0
    components: int = 100

    def __post_init__(self) -> None:
        require(
            0.5 <= self.majority < 1, f"spectre.majority must be in [0.5, 1), got {self.majority}"
        )
        require(self.alpha >= 0, f"spectre.alpha must be at least 0, got {self.alpha}")
        require(self.components >= 1, f"spectre.components must be at least 1: {self.components}")

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        classes = np.full(len(clips.classes), np.nan)
        scores = np.zeros(len(clips))
        for k, members in members_by_class(clips):
            if all_alike(features[members]):
                continue
            rows = features[members].astype(np.float64)
            rows = rows - rows.mean(axis=0)
            axes = np.linalg.svd(rows, full_matrices=False)[2]
            kept = min(self.components, features.shape[1], len(members) // CLIPS_PER_DIRECTION)
            gain, scores[members] = self._best(rows @ axes[:kept].T)
            classes[k] = np.log(gain + 1e-12)
        return Scores(classes, scores)

    def _best(self, rows: Features) -> tuple[float, Float[np.ndarray, "clips"]]:
        """The largest QUE gain over numbers of leading directions, and the scores there."""
        found: list[tuple[float, np.ndarray]] = []
        for count in (n * n for n in range(1, int(rows.shape[1] ** 0.5) + 1)):
            some = rows[:, :count]
            scores = que(_whitened(some, majority_of(some, self.majority)), self.alpha)
            lowest = scores <= np.quantile(scores, self.majority)
            gain = float(que(_whitened(rows, lowest), self.alpha).mean())
            found.append((gain, scores))
        return max(found, key=lambda pair: pair[0])


def que(whitened: Features, alpha: float) -> Float[np.ndarray, "clips"]:
    """Quantum entropy scores x' Q x, with Q = exp(alpha (S - 1) / (|S| - 1)) of trace 1.

    S are the second moments of all rows about 0, and |S| their largest.
    """
    size, axes = np.linalg.eigh(whitened.T @ whitened / len(whitened))
    weight = np.exp(alpha * (size - size[-1]) / max(size[-1] - 1, 1e-9))
    return np.asarray(np.square(whitened @ axes) @ (weight / weight.sum()))


def majority_of(rows: Features, share: float) -> Bool[np.ndarray, "clips"]:
    """Which rows are left when those that spoil their covariance most have been put aside.

    In each round the rows left are whitened by their own covariance. Of normal data, every
    quadratic form then has the same variance; the form whose variance is largest (its leading
    fourth moments) tells which rows are foreign: those far from its median.
    """
    left, smallest = np.arange(len(rows)), round(share * len(rows))
    for rest in np.linspace(len(rows), smallest, ROUNDS + 1)[1:]:
        some = rows[left]
        white = _whitened(some, np.ones(len(some), bool))
        values = np.einsum("id,de,ie->i", white, leading_form(white), white)
        far = np.argsort(np.abs(values - np.median(values)), kind="stable")
        left = left[far[: round(rest)]]
    kept = np.zeros(len(rows), bool)
    kept[left] = True
    return kept


def leading_form(white: Features) -> Float[np.ndarray, "features features"]:
    """The symmetric P, of unit norm, whose quadratic form x' P x varies most over white rows.

    The eigenvector of the largest eigenvalue of the covariance of x (x) x, never written out.
    """
    count, width = white.shape
    if width == 1:
        return np.ones((1, 1))

    def spread(flat: np.ndarray) -> np.ndarray:
        values = np.einsum("id,de,ie->i", white, flat.reshape(width, width), white)
        values -= values.mean()
        return np.asarray((white.T * values) @ white / count).ravel()

    operator = LinearOperator((width * width, width * width), matvec=spread, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(width * width)
    _, form = eigsh(operator, k=1, which="LA", v0=start, tol=1e-4)
    return np.asarray(form.reshape(width, width))


def _whitened(rows: Features, by: Bool[np.ndarray, "clips"]) -> Features:
    """All rows, with the mean taken away and the covariance made white of some of them."""
    some = rows[by] - rows[by].mean(axis=0)
    return np.asarray((rows - rows[by].mean(axis=0)) @ whitening(some.T @ some / len(some)))
