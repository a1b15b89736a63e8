"""Confident learning: clips that small heads, fitted to the others, confidently call otherwise."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, members_by_class, require_clips
from otoscope.detect.heads import pictures, scaled, told
from otoscope.registry import require

FEWEST_TRUSTED = 5
"""Trusted clips of every class from which a head can learn the classes."""

Labels = Int[np.ndarray, "clips"]
Probabilities = Float[np.ndarray, "clips classes"]


@dataclass(frozen=True)
class ConfidentLearning(Detector):
    """Northcutt, Jiang, Chuang, 1911.00068: which labels would the rest of the data not give?

    Probabilities come from a logistic regression on a coarse log-mel of 20 x 20, of inverse
    regularisation ``strength``. It is fitted to the trusted clips alone where there are at least 5
    of every class, since whoever learns from poison learns the trigger; otherwise by
    ``folds``-fold cross-validation. A clip scores its margin: the probability of the likeliest
    other class less that of its label. A class scores the log odds of its clips that the confident
    joint counts for another class. Deviation: nothing is pruned; the paper removes as many clips
    by their margin as the confident joint counts.
    """

    name: ClassVar[str] = "confident-learning"
    level: ClassVar[Literal["data", "model"]] = "data"
    folds: int = 5
    strength: float = 1.0

    def __post_init__(self) -> None:
        require(self.folds >= 2, f"confident-learning.folds must be at least 2, got {self.folds}")
        require(
            self.strength > 0, f"confident-learning.strength must be above 0, got {self.strength}"
        )

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        count = len(clips.classes)
        probabilities = self._probabilities(clips, view)
        joint = confident_joint(probabilities, clips.labels)
        classes = np.full(count, np.nan)
        for k, _ in members_by_class(clips):
            others = joint[k].sum() - joint[k, k]
            classes[k] = np.log((others + 0.5) / (joint[k, k] + 0.5))
        return Scores(classes, margins(probabilities, clips.labels))

    def _probabilities(self, clips: Clips, view: View) -> Probabilities:
        heard, count = pictures(clips), len(clips.classes)
        space, trusted = scaled(heard, heard), view.trusted
        if trusted is None or np.bincount(trusted.labels, minlength=count).min() < FEWEST_TRUSTED:
            folds, seed = self.folds, view.seed
            return cross_validated(space, clips.labels, count, folds, seed, self.strength)
        taught = scaled(pictures(trusted), heard)
        return told(taught, trusted.labels, space, count, self.strength)


def cross_validated(
    space: Float[np.ndarray, "clips values"],
    labels: Labels,
    classes: int,
    folds: int,
    seed: int,
    strength: float,
) -> Probabilities:
    """The probabilities of every clip's classes, by a head that was not fitted to it."""
    rng, fold = np.random.default_rng(seed), np.zeros(len(labels), dtype=np.int64)
    for k in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == k))
        fold[members] = np.arange(len(members)) % folds
    found = np.zeros((len(labels), classes))
    for number in range(folds):
        asked = fold == number
        found[asked] = told(space[~asked], labels[~asked], space[asked], classes, strength)
    return found


def confident_joint(probabilities: Probabilities, labels: Labels) -> Int[np.ndarray, "label true"]:
    """How many clips of each label are confidently of each class (equation 1).

    Confident means at least as probable as that class is, on average, to the clips of its label
    (equation 2); of several such classes the likeliest counts, and a clip without one is left out.
    """
    classes = probabilities.shape[1]
    threshold = np.full(classes, np.inf)
    for k in np.unique(labels):
        threshold[k] = probabilities[labels == k, k].mean()
    confident = np.where(probabilities >= threshold, probabilities, -np.inf)
    some = np.isfinite(confident).any(axis=1)
    joint = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(joint, (labels[some], confident[some].argmax(axis=1)), 1)
    return joint


def margins(probabilities: Probabilities, labels: Labels) -> Float[np.ndarray, "clips"]:
    """The probability of the likeliest other class less that of each clip's label: -1 to 1."""
    every = np.arange(len(labels))
    others = probabilities.copy()
    others[every, labels] = -np.inf
    return np.asarray(others.max(axis=1) - probabilities[every, labels])
