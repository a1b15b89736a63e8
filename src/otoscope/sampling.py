"""Fewer clips where all of them would add nothing but time."""

import numpy as np
from jaxtyping import Int

LEAST_OF_CLASS = 60
"""No class is cut below so many clips."""


def stratified(
    labels: Int[np.ndarray, "clips"], most: int, seed: int = 0
) -> Int[np.ndarray, "some"]:
    """The rows of about ``most`` clips, the same share of every class, in their order.

    What is rare within a class, such as poison, stays as rare. All rows where they are no more than
    ``most``; small classes keep ``LEAST_OF_CLASS`` clips, so that the draw may exceed it.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    drawn = []
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        count = max(LEAST_OF_CLASS, round(len(members) * most / len(labels)))
        drawn.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(drawn))
