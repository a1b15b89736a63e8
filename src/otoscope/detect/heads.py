"""Small linear heads: what a clip sounds like to a learner too small to keep secrets.

A network fits a trigger as easily as a word. A linear head on a coarse picture, fitted to a part of
the clips, hears mostly the word.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression

from otoscope.clips import Clips
from otoscope.networks.log_mel import LogMel

STRENGTH = 30.0
"""Inverse regularisation of a head on spaces whose vectors have a mean square of 1."""

PICTURE = (20, 20)
"""Log-mel bands and times that stand for a clip."""


@torch.no_grad()
def pictures(clips: Clips) -> Float[np.ndarray, "clips values"]:
    """A coarse log-mel of every clip: no run of the model."""
    listen = LogMel(clips.sample_rate)
    pool = torch.nn.functional.adaptive_avg_pool2d
    return np.concatenate(
        [pool(listen(torch.from_numpy(b)), PICTURE).flatten(1).numpy() for b in clips.batches()]
    )


def scaled(
    part: Float[np.ndarray, "some values"], by: Float[np.ndarray, "clips values"]
) -> Float[np.ndarray, "some values"]:
    """Standardised as ``by`` is, and divided by the root of the number of values."""
    scale = (by.std(axis=0) + 1e-6) * np.sqrt(by.shape[1])
    return np.asarray((part - by.mean(axis=0)) / scale, dtype=np.float32)


def told(
    inputs: Float[np.ndarray, "taught values"],
    targets: Int[np.ndarray, "taught"],
    space: Float[np.ndarray, "clips values"],
    classes: int,
    strength: float = STRENGTH,
) -> Float[np.ndarray, "clips classes"]:
    """The probabilities, at least 1e-6, that a head fitted to some clips gives to every clip."""
    found = np.full((len(space), classes), 1e-6)
    present = np.unique(targets)
    if len(present) > 1:
        head = LogisticRegression(C=strength, max_iter=100).fit(inputs, targets)
        found[:, head.classes_] += head.predict_proba(space)
    return found
