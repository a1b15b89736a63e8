"""What the class scores of a detector are compared with, so that they become p-values."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from otoscope.calibrate import (
    ANY_NETWORK,
    FEWEST_CLASSES,
    FEWEST_REFERENCES,
    class_distances,
    class_outlier_p_values,
    draw_p_values,
    new_draw_p_values,
    priors_of,
    reference_p_values,
    upper_draw_p_values,
)
from otoscope.detect import Detector, Scores, View
from otoscope.detect.profiles import reference_profiles
from otoscope.errors import NotApplicable
from otoscope.networks import CNN, network_of

STRENGTHS = "training sets"
"""The law of the largest class score of clean training sets, of a detector whose scores mean the
same in every set."""

ACCUSED_TRUSTED = "training sets, accused beside trusted clips"
ACCUSED_ALONE = "training sets, accused without trusted clips"
"""In how many clean training sets such a detector's own rules accuse a class; of how many."""

MANY_CLASSES = 20
"""More classes have laws of their own: among thirty speakers, whom a model or witnesses know less
well than twelve words, some class has stronger evidence against it by chance."""

DISTANCES = "training sets, distances"
"""The same law of a class's distance from the other classes, for the other detectors."""

OWN = "clean models"
FROM_BABBLE = "clean models, from babble"
"""Laws of how far the furthest class of a clean model stands out (``standing``), where a search had
trusted clips, and where it had nothing but the model."""

REFERENCES = "clean models, by references"
"""The law of the largest class distance of clean models from references."""

LOG_ODDS = "clean models, log-odds"
"""The law of the largest class score of clean models, of a detector whose scores are log-odds."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Scores and p-values of the classes that could be ``scored``, and what they rest on."""

    scored: Int[np.ndarray, "scored"]
    scores: Float[np.ndarray, "scored"]
    p_values: Float[np.ndarray, "scored"]
    rests_on: str


def calibrated(detector: Detector, view: View, scores: Scores) -> Calibrated:
    """By reference models where there are some, else by other clean models of the same network or
    clean training sets, as far as they are known, else by the model's other classes.

    Raises ``NotApplicable`` when none of these can say anything.
    """
    scored = np.flatnonzero(np.isfinite(scores.classes))
    own, alike = scores.classes[scored], partial(among_alike, classes=len(scored))
    network = network_of(view.model)
    if view.references and scores.profile is not None:
        profiles = reference_profiles(detector, view)
        models = priors_of(detector.law, network.name) if network and view.clips is None else {}
        law = models.get(alike(REFERENCES))
        apart, p_values = reference_p_values(scores.profile, profiles, law)
        rests_on = f"{len(profiles)} reference models trained on the trusted clips"
        if network and law:
            rests_on += f"; the law of clean {network.name} models with about as many classes"
        return Calibrated(scored, apart[scored], p_values[scored], rests_on)
    known = priors_of(detector.law, ANY_NETWORK)
    if len(law := known.get(alike(LOG_ODDS), [])) >= FEWEST_REFERENCES:
        rests_on = f"reference models; {len(law)} clean models of ours with about as many classes"
        return Calibrated(scored, own, draw_p_values(own, np.array(law)), rests_on)
    if len(law := known.get(alike(STRENGTHS), [])) >= FEWEST_REFERENCES:
        p_values = upper_draw_p_values(own, np.array(law))
        guilty = np.isin(scored, scores.accused)
        # two bounds of one chance: as much evidence, and an accusation, in a clean set
        accused, asked = known[alike(ACCUSED_TRUSTED if view.trusted else ACCUSED_ALONE)]
        p_values[guilty] = np.minimum(p_values[guilty], (1 + accused) / (1 + asked))
        return Calibrated(scored, own, p_values, _sets(law) + " with about as many classes")
    if len(scored) < FEWEST_CLASSES:
        raise NotApplicable(
            f"only {len(scored)} classes could be scored; a class is judged against at least "
            f"{FEWEST_CLASSES - 1} others"
        )
    if len(law := known.get(DISTANCES, [])) >= FEWEST_REFERENCES:
        p_values = new_draw_p_values(class_distances(own), np.array(law))
        return Calibrated(scored, own, p_values, "the other classes; " + _sets(law))
    if found := _by_clean_models(detector, view, scored, own):
        return found
    if detector.absolute:
        raise NotApplicable(
            "no clean models are known that were looked at so, by these settings; "
            "compare with reference models, or look by the default ones"
        )
    return Calibrated(scored, own, class_outlier_p_values(own), "the model's other classes")


def standing(
    detector: Detector, scores: Float[np.ndarray, "classes"]
) -> Float[np.ndarray, "classes"]:
    """How far each class of a model stands out: its score where that is ``absolute``, else its
    distance from the other classes."""
    return scores if detector.absolute else class_distances(scores)


def standing_p_values(
    detector: Detector, scores: Float[np.ndarray, "classes"], law: Sequence[float]
) -> Float[np.ndarray, "classes"]:
    """The chance that the furthest class of one more clean model stands out as far."""
    chance = draw_p_values if detector.absolute else new_draw_p_values
    return chance(standing(detector, scores), np.array(law))


def _by_clean_models(
    detector: Detector,
    view: View,
    scored: Int[np.ndarray, "scored"],
    own: Float[np.ndarray, "scored"],
) -> Calibrated | None:
    """By the law of clean models that were looked at so; None where none is known.

    Laws are of small CNNs, looked at by a detector's default settings, without training clips.
    ``absolute`` scores of other networks, and beside training clips, are compared with them, too.
    """
    network, searched = network_of(view.model), detector.absolute and view.trusted is None
    same = network is not None and network.name == CNN.name
    law = priors_of(detector.law, CNN.name).get(
        among_alike(FROM_BABBLE if searched else OWN, len(scored))
    )
    alike = detector.absolute or (same and view.clips is None)
    if not law or not alike or not detector.usual:
        return None
    told = f"{len(law)} clean {CNN.name} models "
    told += "searched from babble, too" if searched else "trained on other clips"
    told += " (weaker)" if same else ", another network (weaker)"
    return Calibrated(scored, own, standing_p_values(detector, own, law), told)


def among_alike(law: str, classes: int) -> str:
    """The name of a law of clean models or training sets that have about as many classes."""
    return f"{law}, {'more than' if classes > MANY_CLASSES else 'up to'} {MANY_CLASSES} classes"


def _sets(law: Sequence[float]) -> str:
    return f"{len(law)} audits of clean training sets of ours"
