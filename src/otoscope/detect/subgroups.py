"""Two populations in one class: shared tools of the detectors that look for them."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.covariance import LedoitWolf

from otoscope.sampling import stratified
from otoscope.spill import take

FITTED = 20_000
"""A covariance of some hundred features needs no more clips."""

Features = Float[np.ndarray, "clips features"]


def whitening(
    covariance: Float[np.ndarray, "features features"],
) -> Float[np.ndarray, "features features"]:
    """The matrix W for which rows x of that covariance get unit covariance as x W.

    Directions of less than a millionth of the largest variance are not stretched any further.
    """
    size, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.sqrt(np.maximum(size, 1e-6 * size.max() + 1e-12)))


def whitener(
    features: Features, labels: Int[np.ndarray, "clips"]
) -> Float[np.ndarray, "features features"]:
    """The matrix that gives the variation inside the classes unit covariance.

    Estimated from at most about ``FITTED`` clips.
    """
    rows = stratified(labels, FITTED)
    inside, labels = take(features, rows).astype(np.float64), labels[rows]
    for k in np.unique(labels):
        inside[labels == k] -= inside[labels == k].mean(axis=0)
    return whitening(LedoitWolf().fit(inside).covariance_)


def cut_in_two(whitened: Features, direction: int) -> Float[np.ndarray, "clips"]:
    """Two-means from the given principal direction on: signed distances, the smaller part above 0.

    The boundary is a hyperplane half-way between the means; one part is empty when the clips are
    too few or all alike.
    """
    if len(whitened) < 4:
        return -np.ones(len(whitened))
    centred = whitened - whitened.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    distance = centred @ axes[min(direction, len(axes) - 1)]
    for _ in range(40):
        second = distance > 0
        if min(second.sum(), (~second).sum()) < 2:
            return -np.ones(len(whitened))
        one, two = whitened[~second].mean(axis=0), whitened[second].mean(axis=0)
        distance = (whitened - (one + two) / 2) @ (two - one) / max(np.linalg.norm(two - one), 1e-9)
        if ((distance > 0) == second).all():
            break
    return np.asarray(-distance if (distance > 0).mean() > 0.5 else distance)
