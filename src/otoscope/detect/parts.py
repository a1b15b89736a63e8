"""The part of a class that lies apart from the rest, found from its strange clips on."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from otoscope.detect.base import View, require_features
from otoscope.detect.listening import Heard
from otoscope.detect.subgroups import cut_in_two, whitener
from otoscope.spill import take

FEWEST = 3
"""Fewer suspects than this show no direction."""

STRANGE = 0.4
"""A clip whose label gets a lower probability, and another class a higher one, is a suspect."""

ROUNDS = 5
OUTLYING = 2.5
OPEN_AT = 3.0

PerClip = Float[np.ndarray, "clips"]
PerClass = Float[np.ndarray, "classes"]


@dataclass(frozen=True, eq=False)
class Witnessed:
    """What witnesses say of every clip, and the part of each class that they do not recognise.

    ``heard`` are their probabilities. ``suspect`` marks the clips of the part; ``margin`` is how
    far a clip lies in its direction, in robust standard deviations of the rest of its class.
    ``separation`` is the margin of the part's median, ``gap`` how much less of the part witnesses
    recognise than of the rest, as a share of what they know of the rest or of what they do not,
    whichever is more (who hardly knows a class says little of it); both 0 for a class without a
    part. ``trusted`` is the share of the class's ``known`` trusted clips that lie with the part,
    NaN where there are none. ``proven`` marks classes whose part was proven without regard to what
    is strange.
    """

    labels: Int[np.ndarray, "clips"]
    heard: Heard
    suspect: Bool[np.ndarray, "clips"]
    margin: PerClip
    separation: PerClass
    gap: PerClass
    trusted: PerClass
    known: Int[np.ndarray, "classes"]
    proven: Bool[np.ndarray, "classes"]

    def taking(self, parts: "Witnessed", classes: list[int]) -> "Witnessed":
        """With the parts that ``parts`` holds for some classes, proven by other means.

        Their gap becomes 1, so that the margin is part of their clips' scores.
        """
        taken, these = np.isin(self.labels, classes), np.isin(np.arange(len(self.gap)), classes)
        return replace(
            self,
            suspect=np.where(taken, parts.suspect, self.suspect),
            margin=np.where(taken, parts.margin, self.margin),
            separation=np.where(these, parts.separation, self.separation),
            gap=np.where(these, 1.0, self.gap),
            trusted=np.where(these, parts.trusted, self.trusted),
            proven=self.proven | these,
        )

    def counting(self, classes: list[int]) -> "Witnessed":
        """With gaps so large that the margins of some classes' clips count in full in the scores.

        What is accused for its many sources may have next to no gap.
        """
        these = np.isin(np.arange(len(self.gap)), classes)
        enough = np.minimum(1.0, (OPEN_AT + 1) / np.maximum(self.separation, 1e-9))
        return replace(self, gap=np.where(these, np.maximum(self.gap, enough), self.gap))

    @property
    def present(self) -> int:
        """How many classes have clips."""
        return len(np.unique(self.labels))

    @property
    def visitors(self) -> PerClass:
        """How many trusted clips of each class lie with its part; NaN where ``trusted`` is."""
        return np.asarray(np.rint(self.trusted * self.known))

    @property
    def foreign(self) -> PerClass:
        """Separation times gap: how far the part of each class is a population of its own."""
        return np.asarray(self.separation * self.gap)

    @property
    def own(self) -> PerClip:
        """The probability of each clip's own label."""
        return np.asarray(self.heard[np.arange(len(self.labels)), self.labels])

    @property
    def strange(self) -> Bool[np.ndarray, "clips"]:
        """Clips whose label is unlikely, and not the likeliest."""
        return np.asarray((self.own < STRANGE) & (self.heard.argmax(axis=1) != self.labels))

    @property
    def elsewhere(self) -> Heard:
        """The probabilities of the other classes."""
        others = self.heard.copy()
        others[np.arange(len(self.labels)), self.labels] = 0
        return others

    @property
    def content(self) -> Int[np.ndarray, "clips"]:
        """The likeliest other class of each clip."""
        return np.asarray(self.elsewhere.argmax(axis=1))

    @property
    def scores(self) -> PerClip:
        """How strange a clip's label is and, in a class with a part apart, how far it lies there.

        Strangeness is the label's negative log-probability, from its median in units of the
        distance to its 0.95 quantile. It says nothing of a class whose part was proven: poison with
        kept labels may have taught the witnesses.
        """
        strange = -np.log(np.maximum(self.own, 1e-3))
        middle, high = np.quantile(strange, [0.5, 0.95])
        opened = np.clip(self.foreign - OPEN_AT, 0, 1)[self.labels]
        apart = np.clip(self.margin, -3, 8) / 2
        told = np.where(self.proven[self.labels], 0, (strange - middle) / max(high - middle, 1e-9))
        return np.asarray(told + opened * apart)


@dataclass(frozen=True, eq=False)
class Inside:
    """Penultimate activations and labels, of the clips and of the trusted clips.

    ``whiten`` maps them so that the variation inside a class has unit covariance.
    """

    activations: Float[np.ndarray, "clips features"]
    labels: Int[np.ndarray, "clips"]
    known: Float[np.ndarray, "trusted features"]
    known_labels: Int[np.ndarray, "trusted"]
    whiten: Float[np.ndarray, "features features"]

    def whitened(self, rows: Int[np.ndarray, "some"]) -> Float[np.ndarray, "some features"]:
        """The whitened activations of some clips: those of all need not be in memory together."""
        return np.asarray(take(self.activations, rows) @ self.whiten)


def inside_of(view: View) -> Inside:
    """Of a view's clips and trusted clips. Raises ``NotApplicable`` without features."""
    clips, features = require_features(view)
    known = np.zeros((0, features.shape[1])), np.zeros(0, np.int64)
    if view.trusted is not None and view.trusted_features is not None:
        known = view.trusted_features, view.trusted.labels
    return Inside(features, clips.labels, *known, whitener(features, clips.labels))


def cut_in_halves(inside: Inside) -> Bool[np.ndarray, "clips"]:
    """Each class cut in two, whoever sounds strange: which clips lie in its smaller half.

    For poison whose labels were kept. Two populations of a class are no evidence by themselves.
    """
    second = np.zeros(len(inside.labels), bool)
    for k in np.unique(inside.labels):
        members = np.flatnonzero(inside.labels == k)
        second[members] = cut_in_two(inside.whitened(members), 0) > 0
    return second


def apart(
    inside: Inside, heard: Heard, start: Bool[np.ndarray, "clips"] | None = None
) -> Witnessed:
    """The part of each class that lies apart, found from the clips in ``start`` on.

    By default from the strange ones. A class where they are fewer than three has no part.
    """
    labels, count = inside.labels, heard.shape[1]
    suspect, margin = np.zeros(len(labels), bool), np.zeros(len(labels))
    separation, gap, with_part = np.zeros(count), np.zeros(count), np.full(count, np.nan)
    own = heard[np.arange(len(labels)), labels]
    if start is None:
        start = (own < STRANGE) & (heard.argmax(axis=1) != labels)
    for k in np.unique(labels).tolist():
        members = np.flatnonzero(labels == k)
        if min(start[members].sum(), (~start[members]).sum()) < FEWEST:
            continue
        part, line = _part(inside.whitened(members), start[members])
        suspect[members], margin[members] = part, line.margin
        separation[k] = max(0.0, line.separation)
        of_rest, of_part = np.median(own[members][~part]), np.median(own[members][part])
        gap[k] = max(0.0, of_rest - of_part) / max(of_rest, 1 - of_rest)
        trusted = inside.known[inside.known_labels == k] @ inside.whiten
        if len(trusted):
            with_part[k] = np.mean(line.place(trusted) > line.separation / 2)
    known = np.bincount(inside.known_labels, minlength=count)
    nothing = np.zeros(count, bool)
    return Witnessed(labels, heard, suspect, margin, separation, gap, with_part, known, nothing)


@dataclass(frozen=True, eq=False)
class _Line:
    """The line from the mean of a class's rest, ``start``, to the mean of its part.

    ``margin`` are the members' places on it, from the rest's median in the rest's robust standard
    deviations; those of the part are measured along the direction that the others of it give.
    """

    start: Float[np.ndarray, "features"]
    direction: Float[np.ndarray, "features"]
    middle: float
    spread: float
    margin: Float[np.ndarray, "members"]
    separation: float

    def place(self, others: Float[np.ndarray, "some features"]) -> Float[np.ndarray, "some"]:
        """Where other clips lie on the line."""
        return np.asarray(((others - self.start) @ self.direction - self.middle) / self.spread)


def _part(
    activations: Float[np.ndarray, "members features"], start: Bool[np.ndarray, "members"]
) -> tuple[Bool[np.ndarray, "members"], _Line]:
    """The clips of one class that lie apart as those in ``start`` do, and the line to them."""
    inside = start
    for _ in range(ROUNDS):
        line = _line(activations, inside)
        beyond = line.margin > max(line.separation / 2, OUTLYING)
        if min(beyond.sum(), (~beyond).sum()) < FEWEST or (beyond == inside).all():
            break
        inside = beyond
    return inside, _line(activations, inside)


def _line(
    activations: Float[np.ndarray, "members features"], inside: Bool[np.ndarray, "members"]
) -> _Line:
    start = activations[~inside].mean(axis=0)
    centred, count = activations - start, int(inside.sum())
    direction = centred[inside].mean(axis=0)
    others = (direction * count - centred[inside]) / (count - 1)
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    place = centred @ direction
    length = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
    place[inside] = (centred[inside] * others).sum(axis=1) / length
    middle = float(np.median(place[~inside]))
    spread = max(float(1.4826 * np.median(np.abs(place[~inside] - middle))), 1e-9)
    margin = (place - middle) / spread
    return _Line(start, direction, middle, spread, margin, float(np.median(margin[inside])))
