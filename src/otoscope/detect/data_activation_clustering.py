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
    suspect_of_two,
    trusted_features,
)


@dataclass(frozen=True)
class ActivationClustering(Detector):
    """Chen et al., 1811.03728: 2-means on each class's activations in few dimensions.

    A class scores the mean silhouette of its two clusters. A clip scores its own silhouette, times
    the class's: positive in the suspect cluster, negative in the other. Suspect is the one that
    the class's trusted clips avoid; without trusted clips the smaller one, as in the paper, which
    is the wrong one where poison is most of its class. Further deviations: PCA for ICA (the paper
    allows either), and no fixed limit on size or silhouette; calibration decides.
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
            pca = PCA(count, random_state=view.seed).fit(features[members])
            reduced = pca.transform(features[members])
            halves = KMeans(2, n_init=10, random_state=view.seed).fit(reduced)
            cluster = halves.labels_
            silhouette = silhouette_samples(reduced, cluster)
            classes[k] = silhouette.mean()
            trusted = trusted_features(view, k)
            known = np.zeros(0, dtype=bool)
            if len(trusted):
                known = halves.predict(pca.transform(trusted)) == 1
            weights = np.bincount(cluster, minlength=2) / len(cluster)
            suspect = cluster == suspect_of_two(weights, known)
            scores[members] = np.where(suspect, silhouette, -silhouette) * max(classes[k], 0.0)
        return Scores(classes, scores)
