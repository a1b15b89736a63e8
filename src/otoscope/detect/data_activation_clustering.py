"""Activation clustering: a poisoned class falls into two clusters."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples

from otoscope.detect.base import (
    Detector,
    Scores,
    View,
    all_alike,
    members_by_class,
    require_features,
)


@dataclass(frozen=True)
class ActivationClustering(Detector):
    """Chen et al., 1811.03728: 2-means on each class's activations in few dimensions.

    A class scores the mean silhouette of its two clusters. A clip scores its own silhouette, times
    the class's: positive in the smaller cluster (the paper's suspect), negative in the larger.
    Deviations: PCA for ICA (the paper's section 4 allows either), and no fixed limit on size or
    silhouette; calibration decides.
    """

    name: ClassVar[str] = "activation-clustering"
    level: ClassVar[Literal["data", "model"]] = "data"
    components: int = 10

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        classes = np.full(len(clips.classes), np.nan)
        scores = np.zeros(len(clips))
        for k, members in members_by_class(clips):
            if all_alike(features[members]):
                continue
            count = min(self.components, features.shape[1], len(members) - 1)
            reduced = PCA(count, random_state=view.seed).fit_transform(features[members])
            cluster = KMeans(2, n_init=10, random_state=view.seed).fit_predict(reduced)
            silhouette = silhouette_samples(reduced, cluster)
            classes[k] = silhouette.mean()
            smaller = cluster == int(np.count_nonzero(cluster) * 2 < len(cluster))
            scores[members] = np.where(smaller, silhouette, -silhouette) * max(classes[k], 0.0)
        return Scores(classes, scores)
