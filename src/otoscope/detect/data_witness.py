"""Witness: what is a clip called by someone who never heard the suspicious ones?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float

from otoscope.clips import Clips
from otoscope.detect.accusing import (
    Taught,
    accused,
    doubtful,
    far_apart,
    flaggable,
    strengths,
    unsettled,
)
from otoscope.detect.base import (
    FEWEST_CLIPS,
    Detector,
    Scores,
    View,
    require_clips,
    require_features,
)
from otoscope.detect.data_vouching import Vouching
from otoscope.detect.listening import agreeing, heard_across, taught_by
from otoscope.detect.parts import Witnessed, apart, inside_of
from otoscope.registry import require
from otoscope.sampling import stratified

INNOCENT_AT = 3.0
"""A class that is not accused scores no more than this, as one class in most clean sets does."""

VOUCHED = 10_000
"""The first witnesses, without trusted clips, are drawn from about so many clips."""


@dataclass(frozen=True)
class Witness(Detector):
    """Ours. Witnesses that never heard the poison tell its content; the model tells its trigger.

    Witnesses are small networks with strong augmentation that learn the classes from the trusted
    clips or, without any, from ``per_class`` clips of each class outside the parts that
    ``vouching`` disowns (among about 10,000 clips at most, the same share of every class). What
    they agree with (the ``sure`` share of it; nothing of a part that lies far apart in the model)
    teaches the next witnesses, ``agreed_per_class`` clips of each class, in two halves so that none
    judges a clip that it learned from. Clips of a
    class whose label the last ones find strange are its suspects. The direction from the rest of
    the class to its suspects in the audited model's whitened penultimate activations (Fisher's
    discriminant; a suspect never counts in the direction that it is measured along) gathers the
    clips that lie apart in the same way, and is found again from those until they stay the same.
    Poison lies apart, since the model has to tell the trigger, and its label is strange; clips that
    are merely hard are strange and lie with their class; clips with an honest nuisance lie apart
    and are not strange.

    A class scores the strength of the evidence against it (``accusing.strengths``), and no more
    than ``INNOCENT_AT`` unless it is accused, by the rules of ``accusing`` that ``otoscope clean``
    goes by, too. A clip scores its strangeness plus, in a class with such a part, its margin.
    Kept labels (clean-label attacks) are not strange; those are accused on proof. Where witnesses
    that were taught by trusted clips accuse nothing, a second set of them, not taught by these, is
    heard as well.
    """

    name: ClassVar[str] = "witness"
    level: ClassVar[Literal["data", "model"]] = "data"
    votes: ClassVar[int] = 4  # it sees the most kinds of poison; see docs/calibration.md
    per_class: int = 25
    agreed_per_class: int = 60
    sure: float = 0.85
    steps_per_class: int = 20

    def __post_init__(self) -> None:
        for name in ("per_class", "agreed_per_class"):
            require(getattr(self, name) >= 5, f"witness.{name} must be at least 5")
        require(0 < self.sure <= 1, f"witness.sure must lie in (0, 1], got {self.sure}")
        require(self.steps_per_class >= 1, "witness.steps_per_class must be at least 1")

    def score(self, view: View) -> Scores:
        clips, _ = require_features(view)
        found, guilty, listened = self.verdict(view)
        strength = strengths(found)
        innocent = np.setdiff1d(np.arange(len(strength)), guilty)
        strength[innocent] = np.minimum(strength[innocent], INNOCENT_AT)
        enough = np.bincount(clips.labels, minlength=len(clips.classes)) >= FEWEST_CLIPS
        return Scores(
            np.where(enough, strength, np.nan),
            found.scores,
            forward_passes=2.0 * listened,
            alike=True,
            part=flaggable(found),
            accused=tuple(guilty),
        )

    def verdict(self, view: View, before: Sequence[int] = ()) -> tuple[Witnessed, list[int], int]:
        """What witnesses say, the accused classes, and how many witnesses were asked: one or two.

        Others, who do not know the trusted clips, are asked as well where those who do accuse
        nothing, or only what they hardly know (poison that sounds like its class to the former may
        have taught the latter, and stands out by that; what they accuse goes before); where a part
        may be of another day (both have to accuse it); and of classes without a trusted clip (the
        former never learn these). ``before`` were accused in other rounds, and nothing is heard
        twice of no more than doubts then. Raises ``NotApplicable`` without features.
        """
        in_turn = partial(self._in_turn, view)
        found, guilty = accused(view, self.testimony(view), in_turn, before)
        if _trusted(view) is None:
            return found, guilty, 1
        clips = require_clips(view)
        large = np.bincount(clips.labels, minlength=len(found.known)) >= FEWEST_CLIPS
        unknown = np.flatnonzero(large & (found.known == 0)).tolist()
        asked, doubts = unsettled(found, clips, guilty), not before and doubtful(found, guilty)
        if not (asked or unknown or doubts):
            return found, guilty, 1
        other, also = accused(view, self.testimony(view, untaught=True), in_turn, before)
        guilty = [k for k in guilty if k in also or k not in asked]
        if doubts and also and not doubtful(other, also):
            return other, also, 2
        more = [k for k in also if k in unknown and k not in guilty]
        if more:
            return found.of(other, more), [*guilty, *more], 2
        if guilty or before:
            return found, guilty, 2
        return other if also else found, also, 2

    def testimony(self, view: View, untaught: bool = False) -> Witnessed:
        """What witnesses say, and the parts. Raises ``NotApplicable`` without features.

        ``untaught`` ones never hear the trusted clips.
        """
        clips, _ = require_features(view)
        steps, inside = self.steps_per_class * len(clips.classes), inside_of(view)
        trusted = None if untaught else _trusted(view)
        if trusted is not None:
            heard = taught_by(trusted, clips, steps=steps, seed=view.seed, cache=view.cache)
        else:
            heard = heard_across(
                clips,
                _vouched(replace(view, trusted=None, trusted_seen=None)),
                per_class=self.per_class,
                steps=steps,
                seed=view.seed,
                trusted=None,
                cache=view.cache,
            )
        heard = self._heard(view, self._agreed(apart(inside, heard)), trusted)
        return apart(inside, heard)

    def _agreed(self, found: Witnessed) -> Bool[np.ndarray, "clips"]:
        """The clips that may teach: what witnesses agree with, save parts that lie far."""
        return np.asarray(agreeing(found.heard, found.labels, self.sure) & ~far_apart(found))

    def _heard(
        self,
        view: View,
        eligible: Bool[np.ndarray, "clips"],
        trusted: Clips | None = None,
        asked: Bool[np.ndarray, "clips"] | None = None,
    ) -> Float[np.ndarray, "clips classes"]:
        """What witnesses whom ``eligible`` clips taught hear, in all clips or those ``asked``."""
        clips = require_clips(view)
        return heard_across(
            clips,
            eligible,
            per_class=self.agreed_per_class,
            steps=self.steps_per_class * len(clips.classes),
            seed=view.seed + 1,
            trusted=trusted,
            cache=view.cache,
            asked=asked,
        )

    def _in_turn(self, view: View, found: Witnessed, classes: list[int]) -> tuple[Taught, Taught]:
        """What witnesses hear whom the parts, and the rests, have taught.

        As many clips of each, alone in their class. A trigger is more easily learned than a voice.
        """
        rng, agreed = np.random.default_rng(view.seed), self._agreed(found)
        labels, asked = found.labels, np.isin(found.labels, classes)
        taught = []
        for side in (found.suspect, ~found.suspect):
            teaching = agreed & ~asked
            for k in classes:
                count = min(len(found.part(k)), len(found.rest(k)))
                members = np.flatnonzero(side & (labels == k))
                teaching[rng.permutation(members)[:count]] = True
            heard = self._heard(view, teaching, asked=side | ~asked)
            said, own = heard.argmax(axis=1), heard[np.arange(len(heard)), labels]
            others = [(side | ~asked) & (labels != k) for k in classes]
            taught.append(
                Taught(
                    np.array([np.median(own[side & (labels == k)]) for k in classes]),
                    np.array([np.mean(said[o] == k) for k, o in zip(classes, others, strict=True)]),
                )
            )
        return taught[0], taught[1]


def _trusted(view: View) -> Clips | None:
    return view.trusted if view.trusted is not None and len(view.trusted) else None


def _vouched(view: View) -> Bool[np.ndarray, "clips"]:
    """Some of the clips: those outside the parts that vouching disowns."""
    clips, _ = require_features(view)
    rows = stratified(clips.labels, VOUCHED, view.seed)
    parts = Vouching().look_at(view.at(rows)).parts
    disowned = parts.second & (parts.disowned > Vouching().disowned_at)[clips.labels[rows]]
    vouched = np.zeros(len(clips), bool)
    vouched[rows[~disowned]] = True
    return vouched
