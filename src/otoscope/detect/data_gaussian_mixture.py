"""A Gaussian mixture per class: does the class fall into two populations, and how far apart?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

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
from otoscope.detect.subgroups import Features, whitening
from otoscope.registry import require


@dataclass(frozen=True)
class GaussianMixturePair(Detector):
    """Two Gaussians of one covariance on the main components of each class's activations.

    A class's activations are centred, whitened by the covariance inside the *other* classes (so
    that ordinary variation has unit size and the class's own poison cannot hide in it) and reduced
    by PCA to ``components`` directions. A class scores the logarithm of the symmetrised
    Kullback-Leibler divergence between its two Gaussians, which for a common covariance S is
    d' S^-1 d, with d the difference of their means. A clip scores its log likelihood ratio between
    the suspect Gaussian and the other. Suspect is the one in which fewer of the class's trusted
    clips fall, relative to its weight; without trusted clips, the smaller one.

    The project's own form of mixture analysis of activations; the whitening follows the idea of
    SCAn (Tang et al., 1908.00686): variation inside a class is shared by all classes.
    """

    name: ClassVar[str] = "gaussian-mixture"
    level: ClassVar[Literal["data", "model"]] = "data"
    components: int = 3
    restarts: int = 3

    def __post_init__(self) -> None:
        require(self.components >= 1, "gaussian-mixture.components must be at least 1")

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        groups = [(k, m) for k, m in members_by_class(clips) if not all_alike(features[m])]
        inside = {k: features[m] - features[m].mean(axis=0) for k, m in groups}
        classes = np.full(len(clips.classes), np.nan)
        scores = np.zeros(len(clips))
        for k, members in groups:
            others = np.concatenate([rows for c, rows in inside.items() if c != k])
            whiten = whitening(LedoitWolf(assume_centered=True).fit(others).covariance_)
            centre = features[members].mean(axis=0)
            count = min(self.components, features.shape[1], len(members) - 1)
            pca = PCA(count, random_state=view.seed).fit((features[members] - centre) @ whiten)
            reduced = pca.transform((features[members] - centre) @ whiten)
            mixture = GaussianMixture(
                2, covariance_type="tied", n_init=self.restarts, random_state=view.seed
            ).fit(reduced.astype(np.float64))
            classes[k] = np.log(symmetric_kl(mixture) + 1e-12)
            trusted = trusted_features(view, k)
            known = np.zeros(0, dtype=bool)
            if len(trusted):
                known = _log_ratio(mixture, pca.transform((trusted - centre) @ whiten)) > 0
            ratio = _log_ratio(mixture, reduced)
            scores[members] = ratio if suspect_of_two(mixture.weights_, known) == 1 else -ratio
        return Scores(classes, scores)


def symmetric_kl(mixture: GaussianMixture) -> float:
    """KL(1 || 2) + KL(2 || 1) of a mixture of two Gaussians with one covariance."""
    apart = mixture.means_[1] - mixture.means_[0]
    return float(apart @ np.linalg.solve(mixture.covariances_, apart))


def _log_ratio(mixture: GaussianMixture, reduced: Features) -> Float[np.ndarray, "clips"]:
    """log p(x | second) - log p(x | first); with one covariance a linear function of x."""
    apart = np.linalg.solve(mixture.covariances_, mixture.means_[1] - mixture.means_[0])
    return np.asarray((reduced - mixture.means_.mean(axis=0)) @ apart)
