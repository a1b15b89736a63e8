"""Neighbours: clips whose nearest clips carry another label."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from otoscope.detect.base import Detector, Scores, View, members_by_class, require_features
from otoscope.detect.subgroups import Features
from otoscope.registry import require


@dataclass(frozen=True)
class Neighbours(Detector):
    """Deep k-NN: Peri et al., 1909.13374.

    A clip scores the share of its ``count`` nearest clips, of all classes, that carry another label
    than its own; nearness is Euclidean, and no clip is its own neighbour. A class scores the log
    odds of that share over all its clips.

    Deviations: the share is averaged over the penultimate activations, the paper's choice, and the
    last layers before them (as Papernot, McDaniel, 1803.04765, ask every layer), because poison
    huddles together under its new label in the penultimate ones, and with what it sounds like
    further in front; the paper removes a clip whose label is not the commonest among its
    neighbours, here nothing is decided; its ``count`` grows with the largest class.
    """

    name: ClassVar[str] = "neighbours"
    level: ClassVar[Literal["data", "model"]] = "data"
    count: int = 25

    def __post_init__(self) -> None:
        require(self.count >= 1, f"neighbours.count must be at least 1, got {self.count}")

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        assert view.seen is not None
        count = min(self.count, len(clips) - 1)
        spaces = [*view.seen.layers, features]
        scores = np.mean([foreign_share(x, clips.labels, count) for x in spaces], axis=0)
        classes = np.full(len(clips.classes), np.nan)
        for k, members in members_by_class(clips):
            foreign, votes = scores[members].sum(), len(members)
            classes[k] = np.log((foreign + 0.5) / (votes - foreign + 0.5))
        return Scores(classes, scores)


def foreign_share(
    features: Features, labels: Int[np.ndarray, "clips"], count: int
) -> Float[np.ndarray, "clips"]:
    """The share of each clip's ``count`` nearest others that carry another label."""
    near = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(return_distance=False)
    return np.asarray((labels[near] != labels[:, None]).mean(axis=1))
