"""Meta-classifier: what several tests say of a class, weighed as known models have taught."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from otoscope.calibrate import ANY_NETWORK, class_distances, priors_of, reference_p_values
from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.model_probes import Probing
from otoscope.detect.model_universal_perturbation import UniversalPerturbation
from otoscope.detect.model_weights import WeightStatistics
from otoscope.detect.profiles import reference_profiles
from otoscope.errors import NotApplicable

LEARNED = "coefficients"
"""Under this name and ``ANY_NETWORK``, ``priors.json`` holds what was learned."""


@dataclass(frozen=True)
class MetaClassifier(Detector):
    """Ours. The log-odds that a class is a target, from three statistics of it.

    How far its pulls lie from those of reference models (``probing``); by how much log-odds its
    answer to a faint sound exceeds theirs, more than the median class's does
    (``universal-perturbation``); and how far its mean weight lies above those of the model's other
    classes (``weight-statistics``). A logistic regression weighs their logarithms; it learned
    from the classes of the design half of our zoo, some eighty models, where published
    meta-classifiers read the answers to tuned queries and learn from thousands (MNTD, Xu et al.,
    1910.03137). Its p-value is that of one more draw of the law of clean models there, each scored
    by a regression that had not learned from it. The margin of ``maximum-margin`` and the mean pull
    beside them made it worse there and are left out.

    Raises ``NotApplicable`` without reference models, trusted clips, gradients or a last linear
    layer.
    """

    name: ClassVar[str] = "meta-classifier"
    level: ClassVar[Literal["data", "model"]] = "model"

    def score(self, view: View) -> Scores:
        if not view.references:
            raise NotApplicable("there are no reference models to compare with")
        probing = Probing()
        weights, pulls = WeightStatistics().score(view), probing.score(view)
        answers = UniversalPerturbation().score(view)
        assert pulls.profile is not None
        apart, _ = reference_p_values(pulls.profile, reference_profiles(probing, view))
        usual = reference_profiles(UniversalPerturbation(), view).mean(axis=(0, 1))
        told = distances(apart, answers.classes - usual, weights.classes)
        return Scores(
            log_odds(told, np.array(priors_of(self.name, ANY_NETWORK)[LEARNED])),
            forward_passes=pulls.forward_passes + answers.forward_passes,
            recover=pulls.recover,
        )


def distances(
    pulls: Float[np.ndarray, "classes"],
    answers: Float[np.ndarray, "classes"],
    weights: Float[np.ndarray, "classes"],
) -> Float[np.ndarray, "classes statistics"]:
    """The logarithms of 1 + each statistic; nothing counts below 0.

    ``pulls`` are distances from references, ``answers`` excesses over theirs, which count as far as
    they lie above their median, ``weights`` mean weights, whose distance from each other counts.
    """
    far = np.stack([pulls, answers - np.median(answers), class_distances(weights)], axis=1)
    return np.asarray(np.log1p(np.maximum(far, 0.0)))


def log_odds(
    told: Float[np.ndarray, "classes statistics"], learned: Float[np.ndarray, "coefficients"]
) -> Float[np.ndarray, "classes"]:
    """The intercept comes first in ``learned``."""
    return np.asarray(learned[0] + told @ learned[1:])
