"""What a detector is: it scores, higher meaning more suspicious, and never decides.

A data-level detector gives one number per clip and one per class; a model-level detector gives one
per class. What a detector needs and does not find raises ``NotApplicable``, which an audit reports
as INCONCLUSIVE with the reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from otoscope.cache import Cache
from otoscope.calibrate import FEWEST_CLASSES
from otoscope.clips import Clips
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.models import Activations, AudioModel, activations

Features = Float[np.ndarray, "clips features"]

FEWEST_CLIPS = 20
"""A class with fewer clips than this is too small to look for a sub-population in."""


@dataclass(frozen=True, eq=False)
class View:
    """What is at hand: a model, the clips to judge (None at the model level), trusted clips.

    ``seen`` and ``trusted_seen`` are one forward pass over each. Clips are as the model hears.
    ``cache`` keeps what a detector has to train. ``references`` are models that are known to be
    clean, of the same classes, rate and length. ``delivered`` tells that the model is somebody
    else's: not one that was trained for this look, on the clips.
    """

    model: AudioModel
    seed: int
    clips: Clips | None = None
    seen: Activations | None = None
    trusted: Clips | None = None
    trusted_seen: Activations | None = None
    cache: Cache | None = None
    references: tuple[AudioModel, ...] = ()
    delivered: bool = False

    @property
    def features(self) -> Features | None:
        """The clips' penultimate activations; None where the model does not show them."""
        return self.seen.features if self.seen else None

    @property
    def trusted_features(self) -> Features | None:
        """Those of the trusted clips; None where there are none, too."""
        return self.trusted_seen.features if self.trusted and self.trusted_seen else None

    def at(self, rows: Int[np.ndarray, "some"]) -> "View":
        """The same view of some of the clips."""
        return replace(
            self,
            clips=self.clips.subset(rows) if self.clips else None,
            seen=self.seen.at(rows) if self.seen else None,
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """What a detector returns.

    ``classes`` holds one score per class of the model, NaN where a class could not be scored, on a
    scale on which clean classes are about normally distributed. ``clips`` holds one score per clip
    (None at the model level), ``alike`` where it means the same in every class and need not be put
    on the scale of its own. ``part`` marks the clips that lie apart, where a detector tells; no
    others are flagged on its word. ``forward_passes`` counts runs over the clips scanned, beyond
    those that made the view. ``recover`` makes the trigger of a class audible, where a detector
    can. ``profile`` is what reference models are compared on, where that is more than the class
    scores. ``accused`` are the classes that a detector accuses by rules of its own, where it has
    any: how often they accuse clean data is known then, whatever the score.
    """

    classes: Float[np.ndarray, "classes"]
    clips: Float[np.ndarray, "clips"] | None = None
    forward_passes: float = 0.0
    recover: Callable[[int], Recovered] | None = field(default=None, repr=False)
    profile: Float[np.ndarray, "probes classes"] | None = field(default=None, repr=False)
    alike: bool = False
    part: Bool[np.ndarray, "clips"] | None = field(default=None, repr=False)
    accused: tuple[int, ...] = ()


@dataclass(frozen=True)
class Detector(ABC):
    """A frozen configuration with a ``name``, a ``level`` and ``score``.

    An audit combines detectors by their ``votes``. What is known of clean models and training sets
    is kept under ``law``. ``absolute`` tells that a class score means the same in every model: such
    scores are compared with those of clean models, never with those of the model's other classes.
    """

    name: ClassVar[str]
    level: ClassVar[Literal["data", "model"]]
    votes: ClassVar[int] = 1
    absolute: ClassVar[bool] = False

    @property
    def law(self) -> str:
        """The name under which ``priors.json`` holds what clean models and sets score."""
        return self.name

    @property
    def usual(self) -> bool:
        """Whether its settings are those by which clean models were looked at."""
        return self == type(self)()

    @abstractmethod
    def score(self, view: View) -> Scores:
        """Score every class, and at the data level every clip; raises ``NotApplicable``."""


def require_features(view: View) -> tuple[Clips, Features]:
    """The clips and their penultimate features, or ``NotApplicable``."""
    clips = require_clips(view)
    if view.features is None:
        raise NotApplicable(
            "the model does not show the input of its last linear layer; "
            "audit the data without the model, so that a probe is trained on it"
        )
    return clips, view.features


def require_clips(view: View) -> Clips:
    """The clips to judge, enough of them in enough classes, or ``NotApplicable``."""
    if view.clips is None:
        raise NotApplicable("there are no clips to judge, only a model")
    sizes = np.bincount(view.clips.labels, minlength=len(view.clips.classes))
    if np.count_nonzero(sizes >= FEWEST_CLIPS) < FEWEST_CLASSES:
        raise NotApplicable(
            f"only {np.count_nonzero(sizes >= FEWEST_CLIPS)} classes have {FEWEST_CLIPS} clips or "
            f"more; a class is judged against at least {FEWEST_CLASSES - 1} others"
        )
    return view.clips


def all_alike(features: Float[np.ndarray, "clips features"]) -> bool:
    """Whether the activations hold no variation in which a second population could show."""
    return bool(np.ptp(features, axis=0).max() < 1e-9)


def trusted_features(view: View, k: int) -> Features:
    """The activations of the trusted clips of one class; no rows when there are none."""
    if view.trusted is None or view.trusted_features is None:
        return np.zeros((0, 1))
    return np.asarray(view.trusted_features[view.trusted.labels == k])


def suspect_of_two(weights: Float[np.ndarray, "2"], trusted: Bool[np.ndarray, "clips"]) -> int:
    """Which of two populations of a class is the suspect one.

    ``weights`` are their shares of the class; ``trusted`` tells for each trusted clip whether it
    falls into the second. The one that trusted clips avoid, relative to its weight; without trusted
    clips, the smaller one.
    """
    if not len(trusted):
        return int(np.argmin(weights))
    share = float(np.mean(trusted))
    return int(np.argmin(np.array([1 - share, share]) / (weights + 0.5 / len(trusted))))


def members_by_class(clips: Clips) -> list[tuple[int, np.ndarray]]:
    """(class number, indices of its clips) of every class that is large enough to be judged."""
    found = [(k, np.flatnonzero(clips.labels == k)) for k in range(len(clips.classes))]
    return [(k, members) for k, members in found if len(members) >= FEWEST_CLIPS]


def mean_by_class(clips: Clips, scores: Float[np.ndarray, "clips"]) -> Float[np.ndarray, "classes"]:
    """The mean score of each class that is large enough to be judged, NaN for the others."""
    classes = np.full(len(clips.classes), np.nan)
    for k, members in members_by_class(clips):
        classes[k] = scores[members].mean()
    return classes


def heard(view: View) -> Activations:
    """What the model makes of the clips to judge: ``seen``, or a forward pass now."""
    return view.seen or activations(view.model, require_clips(view), view.cache)
