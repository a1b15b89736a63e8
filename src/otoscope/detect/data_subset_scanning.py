"""Subset scanning: which nodes of a network answer more loudly than they do to clean clips?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from otoscope.detect.base import Detector, Scores, View, members_by_class, require_features
from otoscope.models import Activations
from otoscope.registry import require

BATCH = 512

FEWEST_TRUSTED = 20
"""Trusted clips with which others can be compared."""

Nodes = Float[np.ndarray, "clips nodes"]


@dataclass(frozen=True)
class SubsetScanning(Detector):
    """Speakman et al., 1810.08676; Cintas et al., IJCAI 2020.

    Nodes are the values of a model's first layer, of the last three before the penultimate one, and
    of that. Each gets an empirical p-value: the share of clean clips to which it answers at least
    as much. A clip scores the Berk-Jones statistic N KL(N_a / N, a), largest over levels a up to
    ``alpha`` and over all subsets of nodes (N nodes, of which N_a have a p-value of at most a). A
    class scores the logarithm of the distance from the lower quartile of its clips' scores to their
    0.95 quantile.

    Clean clips are the trusted ones when there are at least 20; otherwise all other clips, most of
    which are clean. Deviations: layers are averaged over a coarse grid and scanned together, where
    the papers scan one at a time; levels end at 0.05, in the authors' code at 0.5, where a third of
    a clean clip's nodes take part.
    """

    name: ClassVar[str] = "subset-scanning"
    level: ClassVar[Literal["data", "model"]] = "data"
    alpha: float = 0.05

    def __post_init__(self) -> None:
        require(0 < self.alpha < 1, f"subset-scanning.alpha must be in (0, 1), got {self.alpha}")

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        assert view.seen is not None
        nodes = _nodes(view.seen, features)
        known, inside = view.trusted_seen, view.trusted_features
        if known is None or inside is None or len(inside) < FEWEST_TRUSTED:
            clean, among_them = nodes, True
        else:
            clean, among_them = _nodes(known, inside), False
        ordered = np.sort(clean, axis=0)
        scores = np.concatenate(
            [
                berk_jones(p_values(nodes[start : start + BATCH], ordered, among_them), self.alpha)
                for start in range(0, len(nodes), BATCH)
            ]
        )
        classes = np.full(len(clips.classes), np.nan)
        for k, members in members_by_class(clips):
            low, high = np.quantile(scores[members], [0.25, 0.95])
            classes[k] = np.log(high - low + 1e-6)
        return Scores(classes, scores)


def p_values(
    nodes: Nodes, ordered: Float[np.ndarray, "clean nodes"], among_them: bool
) -> Float[np.ndarray, "clips nodes"]:
    """(1 + #{clean clips that answer at least as much}) / (1 + #{clean clips}), node by node.

    ``ordered`` holds the clean answers, each column in ascending order. Clips that are
    ``among_them`` are compared with the others: each stands for the 1 itself.
    """
    counted = np.empty(nodes.shape)
    for node, (answers, clean) in enumerate(zip(nodes.T, ordered.T, strict=True)):
        counted[:, node] = len(clean) - np.searchsorted(clean, answers, side="left")
    more = 0 if among_them else 1
    return (counted + more) / (len(ordered) + more)


def berk_jones(p: Float[np.ndarray, "clips nodes"], alpha: float) -> Float[np.ndarray, "clips"]:
    """The Berk-Jones statistic of each row, maximised over subsets and levels up to ``alpha``.

    By the linear-time property only the subsets of the k smallest p-values can be the best, at the
    level of the k-th; all their nodes then lie at or below it, and N KL(1, a) is -k log a.
    """
    smallest = np.sort(p, axis=1)
    gain = -np.arange(1, p.shape[1] + 1) * np.log(smallest)
    return np.asarray(np.where(smallest <= alpha, gain, 0.0).max(axis=1))


def _nodes(seen: Activations, features: Float[np.ndarray, "clips features"]) -> Nodes:
    return np.hstack([plane.reshape(len(plane), -1) for plane in seen.planes] + [features])
