"""Beatrix: poison answers with channels that do not go together in its class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import pdist, squareform

from otoscope.detect.base import Detector, Scores, View, members_by_class, require_clips
from otoscope.errors import NotApplicable
from otoscope.registry import require

Planes = Float[np.ndarray, "clips channel cell"]

ORDERS = range(1, 9)
"""Powers of the channels whose products are taken."""

FEWEST_TRUSTED = 8
"""Trusted clips of a class from which its medians can be told."""

FOLDS = 5
SUSPECT_ABOVE = 0.95
"""A clip is suspect above this quantile of the deviations of clips taken to be clean."""


@dataclass(frozen=True)
class Beatrix(Detector):
    """Ma et al., The Beatrix Resurrections, 2209.11715 (NDSS 2023).

    The channels F (channel, cell) of a clip's last convolution give Gram matrices
    (F^p F^pT)^(1/p), p = 1 to 8. Of each entry, the class's clean clips tell median and median
    absolute deviation; a clip scores how far its entries lie outside median -+ ``margin`` MAD,
    relative to that bound, on average. A class scores the logarithm of the maximum mean discrepancy
    of its suspect clips (above the 0.95 quantile of clean deviations) and its others, the paper's
    class-wise test in the form of the authors' code: two Gaussian kernels on the channels' means,
    times m n / (m + n).

    Clean clips are the class's trusted ones when there are at least 8 (the paper has 30), whose
    deviations are cross-validated; otherwise all clips of the class are taken, most of which are
    clean. Deviations: channels are averaged over a grid of 2 x 6 (6 for layers without frequency)
    before they are multiplied; of wider layers only the ``channels`` that vary most are taken,
    since entries grow with their square; the quantile is over all classes, since a class has too
    few clean clips for one, and at least a twentieth of a class is suspect, so that every class has
    a score.
    """

    name: ClassVar[str] = "beatrix"
    level: ClassVar[Literal["data", "model"]] = "data"
    margin: float = 10.0
    channels: int = 48

    def __post_init__(self) -> None:
        require(self.margin >= 0, f"beatrix.margin must be at least 0, got {self.margin}")
        require(self.channels >= 2, f"beatrix.channels must be at least 2, got {self.channels}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        if view.seen is None or not view.seen.planes:
            raise NotApplicable("the model shows no layer whose channels could be multiplied")
        every = view.seen.planes[-1].astype(np.float64)
        vary = np.argsort(-every.var(axis=(0, 2)), kind="stable")[: self.channels]
        planes = every[:, vary]
        scores, usual = np.zeros(len(clips)), []
        for k, members in members_by_class(clips):
            clean = _trusted(view, k, none=every[:0])[:, vary]
            if len(clean):
                scores[members] = deviations(planes[members], clean, self.margin)
                usual.append(self._cross_validated(clean))
            else:
                scores[members] = deviations(planes[members], planes[members], self.margin)
                usual.append(scores[members])
        limit = float(np.quantile(np.concatenate(usual), SUSPECT_ABOVE))
        classes = np.full(len(clips.classes), np.nan)
        for k, members in members_by_class(clips):
            suspect = _suspects(scores[members], limit)
            classes[k] = np.log(discrepancy(planes[members].mean(axis=2), suspect) + 1e-12)
        return Scores(classes, scores)

    def _cross_validated(self, clean: Planes) -> Float[np.ndarray, "clips"]:
        fold = np.arange(len(clean)) % FOLDS
        found = np.zeros(len(clean))
        for number in range(FOLDS):
            asked = fold == number
            found[asked] = deviations(clean[asked], clean[~asked], self.margin)
        return found


def gram_entries(planes: Planes) -> Iterator[Float[np.ndarray, "clips entries"]]:
    """For each order, the lower triangle of every clip's Gram matrix, each with its root's sign."""
    rows, columns = np.tril_indices(planes.shape[1])
    for order in ORDERS:
        powers = planes**order
        entries = (powers @ powers.transpose(0, 2, 1))[:, rows, columns]
        yield np.sign(entries) * np.abs(entries) ** (1 / order)


def deviations(some: Planes, clean: Planes, margin: float) -> Float[np.ndarray, "clips"]:
    """How far the Gram entries of some clips lie outside the usual bounds of clean ones.

    Below the lower bound b a value x counts (b - x) / |b|, above the upper one (x - b) / |b|; the
    mean over entries and orders.
    """
    total = np.zeros(len(some))
    for entries, usual in zip(gram_entries(some), gram_entries(clean), strict=True):
        middle = np.median(usual, axis=0)
        reach = margin * np.median(np.abs(usual - middle), axis=0)
        for sign in (-1, 1):
            bound = middle + sign * reach
            outside = np.maximum(sign * (entries - bound), 0) / (np.abs(bound) + 1e-6)
            total += outside.mean(axis=1)
    return total / len(ORDERS)


def discrepancy(
    features: Float[np.ndarray, "clips features"], suspect: Bool[np.ndarray, "clips"]
) -> float:
    """Squared maximum mean discrepancy of suspect and other clips, times m n / (m + n).

    The kernel is exp(-|x - y|^2 / b) for the median squared distance b, and the same for b / 2.
    """
    squared = squareform(pdist(features, "sqeuclidean"))
    width = max(float(np.median(squared)), 1e-12)
    kernel = np.exp(-squared / width) + np.exp(-2 * squared / width)
    within = [kernel[np.ix_(group, group)].mean() for group in (suspect, ~suspect)]
    apart = sum(within) - 2 * kernel[np.ix_(suspect, ~suspect)].mean()
    return float(apart * suspect.sum() * (~suspect).sum() / len(suspect))


def _suspects(found: Float[np.ndarray, "clips"], limit: float) -> Bool[np.ndarray, "clips"]:
    """The clips of a class above the limit, but no fewer than a twentieth, nor all but so many."""
    least = int(np.ceil((1 - SUSPECT_ABOVE) * len(found)))
    count = int(np.clip(np.sum(found > limit), least, len(found) - least))
    suspect = np.zeros(len(found), dtype=bool)
    suspect[np.argsort(-found, kind="stable")[:count]] = True
    return suspect


def _trusted(view: View, k: int, none: Planes) -> Planes:
    """The last layer's answer to the trusted clips of a class; none where they are too few."""
    if view.trusted is None or view.trusted_seen is None or not view.trusted_seen.planes:
        return none
    found = view.trusted_seen.planes[-1][view.trusted.labels == k].astype(np.float64)
    return found if len(found) >= FEWEST_TRUSTED else none
