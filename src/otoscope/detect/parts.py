"""The part of a class that lies apart from the rest, found from its strange clips on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
    NaN where there are none, or no part. ``proven`` marks classes whose part was taken by other
    means than the strange clips in it.
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

    def of(self, parts: "Witnessed", classes: Sequence[int]) -> "Witnessed":
        """With what ``parts`` says of some classes: their parts, and what is heard there."""
        taken, these = np.isin(self.labels, classes), np.isin(np.arange(len(self.gap)), classes)
        return replace(
            self,
            heard=np.where(taken[:, None], parts.heard, self.heard),
            suspect=np.where(taken, parts.suspect, self.suspect),
            margin=np.where(taken, parts.margin, self.margin),
            separation=np.where(these, parts.separation, self.separation),
            gap=np.where(these, parts.gap, self.gap),
            trusted=np.where(these, parts.trusted, self.trusted),
            proven=np.where(these, parts.proven, self.proven),
        )

    def taking(self, parts: "Witnessed", classes: Sequence[int]) -> "Witnessed":
        """With the parts that ``parts`` holds for some classes, proven by other means.

        Their gap becomes 1, so that the margin is part of their clips' scores.
        """
        these = np.isin(np.arange(len(self.gap)), classes)
        sure = replace(parts, gap=np.where(these, 1.0, parts.gap), proven=parts.proven | these)
        return self.of(sure, classes)

    def counting(self, classes: Sequence[int]) -> "Witnessed":
        """With gaps so large that the margins of some classes' clips count in the scores.

        What is accused for its many sources may have next to no gap. They count by half from a
        separation of 3.5, in full from 4.
        """
        these = np.isin(np.arange(len(self.gap)), classes)
        enough = np.minimum(1.0, (OPEN_AT + 1) / np.maximum(self.separation, 1e-9))
        return replace(self, gap=np.where(these, np.maximum(self.gap, enough), self.gap))

    @cached_property
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

    @cached_property
    def own(self) -> PerClip:
        """The probability of each clip's own label."""
        return np.asarray(self.heard[np.arange(len(self.labels)), self.labels])

    @cached_property
    def strange(self) -> Bool[np.ndarray, "clips"]:
        """Clips whose label is unlikely, and not the likeliest."""
        return _strange(self.heard, self.labels)

    def part(self, k: int) -> Int[np.ndarray, "some"]:
        """The clips of the part of class k."""
        return np.flatnonzero((self.labels == k) & self.suspect)

    def rest(self, k: int) -> Int[np.ndarray, "some"]:
        """The other clips of class k."""
        return np.flatnonzero((self.labels == k) & ~self.suspect)

    def elsewhere(self, rows: Int[np.ndarray, "some"]) -> Float[np.ndarray, "some classes"]:
        """The probabilities of the other classes, of some clips."""
        others = self.heard[rows]
        others[np.arange(len(rows)), self.labels[rows]] = 0
        return np.asarray(others)

    @cached_property
    def content(self) -> Int[np.ndarray, "clips"]:
        """The likeliest other class of each clip."""
        return np.asarray(self.elsewhere(np.arange(len(self.labels))).argmax(axis=1))

    @cached_property
    def usual(self) -> float:
        """The probability of the likeliest class, of the median clip."""
        return float(np.median(self.heard.max(axis=1)))

    def sources(self, k: int) -> float:
        """How many other classes the part of class k sounds like, in effect.

        The exponential of the entropy of their shares.
        """
        content = self.content[self.part(k)]
        shares = np.bincount(content) / max(1, len(content))
        return float(np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-12)))))

    @property
    def scores(self) -> PerClip:
        """How strange a clip's label is and, in a class with a part apart, how far it lies there.

        Strangeness is the label's negative log-probability, from its median in units of the
        distance to its 0.95 quantile. It says nothing of a class whose part was proven: poison with
        kept labels may have taught the witnesses. Clips of such a part count as the strangest:
        other classes may hold clips that are mislabelled.
        """
        strange = -np.log(np.maximum(self.own, 1e-3))
        middle, high = np.quantile(strange, [0.5, 0.95])
        opened = np.clip(self.foreign - OPEN_AT, 0, 1)[self.labels]
        apart = np.clip(self.margin, -3, 8) / 2
        told, sure = (strange - middle) / max(high - middle, 1e-9), self.proven[self.labels]
        told = np.where(sure, np.where(self.suspect, max(0.0, float(told.max())), 0.0), told)
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
        start = _strange(heard, labels)
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


def _strange(heard: Heard, labels: Int[np.ndarray, "clips"]) -> Bool[np.ndarray, "clips"]:
    own = heard[np.arange(len(labels)), labels]
    return np.asarray((own < STRANGE) & (heard.argmax(axis=1) != labels))


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
