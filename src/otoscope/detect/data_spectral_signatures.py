"""Spectral signatures: poison leaves a trace along the top singular direction of its class."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from otoscope.detect.base import Detector, Scores, View, members_by_class, require_features


@dataclass(frozen=True)
class SpectralSignatures(Detector):
    """Tran, Li, Madry, 1811.00636, algorithm 1.

    A clip scores its squared projection, after its label's mean is taken away, on the top right
    singular vector of its class. A class scores the logarithm of that direction's variance.
    Deviation: nothing is removed; the paper removes 1.5 times the poison rate from every class
    alike, which needs the rate and caps the recall.
    """

    name: ClassVar[str] = "spectral-signatures"
    level: ClassVar[Literal["data", "model"]] = "data"

    def score(self, view: View) -> Scores:
        clips, features = require_features(view)
        classes = np.full(len(clips.classes), np.nan)
        scores = np.zeros(len(clips))
        for k, members in members_by_class(clips):
            centred = features[members].astype(np.float64)
            centred -= centred.mean(axis=0)
            _, singular, directions = np.linalg.svd(centred, full_matrices=False)
            scores[members] = np.square(centred @ directions[0])
            classes[k] = np.log(singular[0] ** 2 / len(members) + 1e-12)
        return Scores(classes, scores)
