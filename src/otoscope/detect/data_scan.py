"""SCAn: does a class fall into two subgroups that differ more than any class varies?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf_shrinkage

from otoscope.calibrate import anomaly_index
from otoscope.detect.base import (
    Detector,
    Scores,
    View,
    all_alike,
    members_by_class,
    require_features,
    suspect_of_two,
    trusted_features,
)
from otoscope.detect.subgroups import Features, cut_in_two, whitening
from otoscope.registry import require

Covariance = Float[np.ndarray, "features features"]

FEWEST_RESIDUALS = 20
"""Trusted clips, less one per class, that the shared variation can be estimated from."""


@dataclass(frozen=True, eq=False)
class Scanned:
    """What ``Scan.look_at`` finds; NaN for classes that could not be scored.

    ``statistic`` is, per class, the likelihood ratio statistic of two subgroups against one, per
    clip. ``anomaly_index`` is the paper's J* with its sign kept; the paper accuses above e^2.
    ``suspect`` tells which clips lie in the suspect subgroup of their class, ``discriminant`` how
    far: the log likelihood ratio of the two subgroups, positive in the suspect one.
    """

    statistic: Float[np.ndarray, "classes"]
    anomaly_index: Float[np.ndarray, "classes"]
    suspect: Bool[np.ndarray, "clips"]
    discriminant: Float[np.ndarray, "clips"]


@dataclass(frozen=True)
class Scan(Detector):
    """SCAn: Tang et al., Demon in the Variant, 1908.00686 (USENIX Security 2021).

    An activation is the identity of its class plus variation; both are normal, and the covariance
    of the variation is shared by all classes (``decompose``, by EM). Within it, each class is cut
    in two by linear discriminants, fitted and applied in turn. A class scores the logarithm of its
    likelihood ratio statistic for two subgroups against one, per clip; ``look_at`` tells the
    paper's anomaly index J* as well. A clip scores its signed distance along the discriminant into
    the suspect subgroup, times the statistic of its class. Suspect is the subgroup that the class's
    trusted clips avoid; without trusted clips, the smaller one.

    The shared covariance is estimated on the trusted clips, as in the paper, when there are at
    least 20 more of them than classes. Deviations: otherwise it is estimated for each class on the
    clips of all *other* classes, since poison that spreads the estimate hides itself; it is shrunk
    (Ledoit, Wolf 2004), since trusted clips may be as few as features; EM keeps the posterior
    covariances that the paper's leaves out; cuts start from the ``starts`` main directions instead
    of a random one, and the likeliest is kept; the mean of an undivided class is its
    maximum-likelihood estimate; the statistic is divided by the class's size, as in the authors'
    code, where the paper standardises it.
    """

    name: ClassVar[str] = "scan"
    level: ClassVar[Literal["data", "model"]] = "data"
    starts: int = 5

    def __post_init__(self) -> None:
        require(self.starts >= 1, f"scan.starts must be at least 1, got {self.starts}")

    def score(self, view: View) -> Scores:
        clips, _ = require_features(view)
        found = self.look_at(view)
        weight = np.nan_to_num(found.statistic)[clips.labels]
        return Scores(np.log(found.statistic + 1e-12), found.discriminant * weight)

    def look_at(self, view: View) -> Scanned:
        """The statistics of the classes, and which subgroup each clip lies in.

        Raises ``NotApplicable`` without features or enough clips.
        """
        clips, features = require_features(view)
        labels = clips.labels
        statistic = np.full(len(clips.classes), np.nan)
        discriminant = np.zeros(len(clips))
        shared = _shared_by_trusted(view)
        for k, members in members_by_class(clips):
            if all_alike(features[members]):
                continue
            others = labels != k
            within = (
                shared if shared is not None else decompose(features[others], labels[others])[1]
            )
            whiten = whitening(within)
            pair = likeliest_pair(features[members] @ whiten, self.starts)
            if pair is None:
                continue
            statistic[k] = pair.statistic / len(members)
            ratio = pair.log_ratio(features[members] @ whiten)
            trusted = trusted_features(view, k)
            beyond = np.zeros(0, dtype=bool)
            if len(trusted):
                beyond = pair.log_ratio(trusted @ whiten) > 0
            share = float(np.mean(ratio > 0))
            second = suspect_of_two(np.array([1 - share, share]), beyond) == 1
            discriminant[members] = ratio if second else -ratio
        index = np.full(len(statistic), np.nan)
        scored = np.isfinite(statistic)
        if scored.any():
            index[scored] = anomaly_index(statistic[scored])
        return Scanned(statistic, index, discriminant > 0, discriminant)


@dataclass(frozen=True, eq=False)
class Pair:
    """The means of two subgroups of a class, in units in which its variation is white.

    ``statistic`` is twice the log likelihood of two subgroups less that of one.
    """

    first: Float[np.ndarray, "features"]
    second: Float[np.ndarray, "features"]
    statistic: float

    def log_ratio(self, whitened: Features) -> Float[np.ndarray, "clips"]:
        """log p(x | second) - log p(x | first): a distance along Fisher's discriminant."""
        apart = self.second - self.first
        return np.asarray((whitened - (self.first + self.second) / 2) @ apart)


def likeliest_pair(whitened: Features, starts: int) -> Pair | None:
    """The two subgroups of largest likelihood among cuts from several directions.

    With unit covariance the statistic is n1 n2 / (n1 + n2) times the squared distance of the means.
    None where no cut leaves two clips on either side.
    """
    found = []
    for direction in range(starts):
        inside = cut_in_two(whitened, direction) > 0
        if not inside.any():
            continue
        first, second = whitened[~inside].mean(axis=0), whitened[inside].mean(axis=0)
        weight = inside.sum() * (~inside).sum() / len(inside)
        found.append(Pair(first, second, float(weight * np.sum(np.square(second - first)))))
    return max(found, key=lambda pair: pair.statistic, default=None)


def decompose(
    features: Features,
    labels: Int[np.ndarray, "clips"],
    shrinkage: float | None = None,
    rounds: int = 100,
) -> tuple[Covariance, Covariance]:
    """Covariances of the classes' identities and of the variation inside classes, by EM.

    x = mean + identity of the class + variation, both normal with mean 0. After each round the
    second is moved by ``shrinkage`` (by default Ledoit and Wolf's) towards a multiple of the unit
    matrix. Ends when the second changes by less than a millionth.
    """
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    x = features.astype(np.float64)
    means = np.stack([x[index == k].mean(axis=0) for k in range(len(counts))])
    inside = x - means[index]
    if shrinkage is None:
        shrinkage = float(ledoit_wolf_shrinkage(inside, assume_centered=True))
    scatter = inside.T @ inside
    means -= x.mean(axis=0)
    between = means.T @ means / len(counts)
    within = _shrunk(scatter / len(x), shrinkage)
    for _ in range(rounds):
        before = within
        between, within = _em_round(means, counts, scatter, between, within)
        within = _shrunk(within, shrinkage)
        if np.linalg.norm(within - before) < 1e-6 * np.linalg.norm(before):
            break
    return between, within


def _em_round(
    means: Features,
    counts: Int[np.ndarray, "classes"],
    scatter: Covariance,
    between: Covariance,
    within: Covariance,
) -> tuple[Covariance, Covariance]:
    """The classes' identities given the data, then both covariances given those.

    In the axes in which the variation is white and the identities are independent of each other,
    the posterior of an identity of variance s, from n clips of mean m, has variance s / (n s + 1)
    and mean n s m / (n s + 1).
    """
    size, axes = eigh(between, within)
    back = axes.T @ within
    size, n = np.maximum(size, 0), counts[:, None]
    spread = size / (n * size + 1)
    identities = (n * spread * (means @ axes)) @ back
    left = means - identities
    between = identities.T @ identities + (back.T * spread.sum(axis=0)) @ back
    within = scatter + (left.T * counts) @ left + (back.T * (counts @ spread)) @ back
    return between / len(counts), within / counts.sum()


def _shrunk(covariance: Covariance, shrinkage: float) -> Covariance:
    """Part of the way to a multiple of the unit matrix, and never singular."""
    count = len(covariance)
    mean = np.trace(covariance) / count
    unit = (shrinkage * mean + 1e-9 * mean + 1e-12) * np.eye(count)
    return np.asarray((1 - shrinkage) * covariance + unit)


def _shared_by_trusted(view: View) -> Covariance | None:
    """The variation inside classes of the trusted clips; None where there are too few."""
    if view.trusted is None or view.trusted_features is None:
        return None
    labels = view.trusted.labels
    if len(labels) - len(np.unique(labels)) < FEWEST_RESIDUALS:
        return None
    return decompose(view.trusted_features, labels)[1]
