"""Vouching: would the rest of the data call a sub-population as it is called?"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from otoscope.detect.base import (
    FEWEST_CLIPS,
    Detector,
    Scores,
    View,
    require_clips,
    require_features,
    suspect_of_two,
)
from otoscope.detect.heads import pictures, scaled, told
from otoscope.detect.subgroups import cut_in_two, whitener
from otoscope.registry import require

EVEN = 0.4
"""A second part with a larger share than this may be the innocent one."""

SEVERAL = 3.0
"""A part that sounds like so many other classes was gathered from them."""

Labels = Int[np.ndarray, "clips"]
Mask = Bool[np.ndarray, "clips"]
PerClip = Float[np.ndarray, "clips"]
PerClass = Float[np.ndarray, "classes"]


@dataclass(frozen=True, eq=False)
class Parts:
    """Every class in two parts.

    ``second`` tells which clips are in the second, the suspect one; ``margin`` how far, in
    whitened units. ``disowned`` is, per class, how much less the rest of the data vouches for
    either part than is usual: the lesser of the two, since a poisoned class fails both ways.
    ``trusted`` is the share of a class's trusted clips that lie in its second part, NaN without.
    """

    second: Mask
    margin: PerClip
    disowned: PerClass
    trusted: PerClass


@dataclass(frozen=True, eq=False)
class Vouched:
    """What ``Vouching.look_at`` finds.

    ``heard`` holds the probabilities that heads which heard no suspect part give to the other
    classes; 0 at a clip's own label. ``scores`` rest on them and on the parts; ``by_trusted`` is
    what heads add that heard trusted clips only, 0 without those.
    """

    parts: Parts
    scores: PerClip
    by_trusted: PerClip
    heard: Float[np.ndarray, "clips classes"]

    @property
    def own(self) -> PerClip:
        """The probability of each clip's own label."""
        return np.asarray(1 - self.heard.sum(axis=1))

    @property
    def content(self) -> Labels:
        """The likeliest other class of each clip."""
        return np.asarray(self.heard.argmax(axis=1))


@dataclass(frozen=True, eq=False)
class _Material:
    """What heads are fitted to: spaces of the clips, and of trusted clips where there are any."""

    labels: Labels
    classes: int
    spaces: list[np.ndarray]
    whitened: np.ndarray
    known: list[np.ndarray] = field(default_factory=list)
    known_whitened: np.ndarray | None = None
    known_labels: Labels | None = None


@dataclass(frozen=True)
class Vouching(Detector):
    """Ours. Each class is cut in two, and what is left out of a training set is judged by it.

    The poisoned clips of a class are a sub-population (Tang et al., 1908.00686) whose content
    belongs to other classes. So each class is cut in two along each of ``splits`` principal
    directions of its whitened penultimate activations; small linear heads learn the classes from
    one part of every class and say what they think of the other. Two innocent parts vouch for each
    other. Poison and the clean clips of its class do not: heads that never heard the trigger give
    poison its true class, and heads that learned the class by its trigger do not know its clean
    clips. A class scores the lesser of the two disagreements. Heads read a log-mel of 20 x 20 and
    the model's last layers before the penultimate one, coarsely pooled, so that all needs one
    forward pass; ``repeats`` times they learn from ``per_class`` clips of each class and judge the
    others. A clip scores how far heads fitted without suspect parts, and with the trusted clips,
    disagree with its label, averaged over its ``neighbours`` in its class, and its distance into a
    suspect part where the class is disowned. Trusted clips tell which part is innocent; without
    them the smaller one is suspect, or, where they are nearly even, the one that sounds like more
    of the other classes; where neither sounds like several, the one that heads give to another
    class with more confidence.

    It cannot see poison that makes no sub-population of its own, such as very few clips.
    """

    name: ClassVar[str] = "vouching"
    level: ClassVar[Literal["data", "model"]] = "data"
    splits: int = 3
    per_class: int = 25
    repeats: int = 3
    neighbours: int = 6
    disowned_at: float = 0.5

    def __post_init__(self) -> None:
        for name in ("splits", "repeats", "neighbours"):
            value = getattr(self, name)
            require(value >= 1, f"vouching.{name} must be at least 1, got {value}")
        require(self.per_class >= 5, f"vouching.per_class must be at least 5, got {self.per_class}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        found = self.look_at(view)
        classes = np.where(
            np.bincount(clips.labels, minlength=len(clips.classes)) >= FEWEST_CLIPS,
            found.parts.disowned,
            np.nan,
        )
        return Scores(classes, found.scores + found.by_trusted)

    def look_at(self, view: View) -> Vouched:
        """The parts of each class, the clips' scores, and the class that heads give each clip.

        Raises ``NotApplicable`` without features or enough clips.
        """
        material = _material(view)
        rng = np.random.default_rng(view.seed)
        parts = self._parts(material, rng)
        guilty = parts.second & (parts.disowned > self.disowned_at)[material.labels]
        disagreement, heard = self._judged(material, ~guilty, rng, trusted=True)
        scores = _unit(self._smoothed(material, disagreement))
        by_trusted = np.zeros(len(guilty))
        if material.known:
            alone, _ = self._judged(material, np.zeros(len(guilty), bool), rng, trusted=True)
            by_trusted = _unit(self._smoothed(material, alone))
        weight = np.clip(2 * parts.disowned - self.disowned_at, 0, 5)[material.labels]
        scores = scores + weight * np.maximum(_unit(parts.margin), 0)
        return Vouched(parts, scores, by_trusted, heard)

    def _parts(self, material: _Material, rng: np.random.Generator) -> Parts:
        """For each class, the cut whose two parts vouch least for each other."""
        labels, count = material.labels, material.classes
        second, margin = np.zeros(len(labels), bool), np.zeros(len(labels))
        disowned, foreign = np.full(count, -np.inf), np.zeros((2, 2, count))
        for direction in range(self.splits):
            cut = np.zeros(len(labels))
            for members in _members(labels, count):
                cut[members] = cut_in_two(material.whitened[members], direction)
            inside = cut > 0
            away, told_away = self._judged(material, ~inside, rng)
            back, told_back = self._judged(material, inside, rng)
            found = np.minimum(
                _gap(away, labels, inside, count), _gap(back, labels, ~inside, count)
            )
            for k in np.flatnonzero(found > disowned).tolist():
                members = labels == k
                disowned[k], second[members], margin[members] = (
                    found[k],
                    inside[members],
                    cut[members],
                )
                foreign[:, :, k] = (
                    _foreign(told_away, members & inside),
                    _foreign(told_back, members & ~inside),
                )
        trusted = np.full(count, np.nan)
        for k, members in enumerate(_members(labels, count)):
            if not len(members):
                continue
            beyond = _trusted_beyond(material, k, members, second[members])
            turned = self._turned(second[members], beyond, foreign[:, :, k])
            if turned:
                second[members], margin[members] = ~second[members], -margin[members]
            if len(beyond):
                trusted[k] = np.mean(beyond != turned)
        return Parts(second, margin, disowned, trusted)

    def _turned(self, inside: Mask, beyond: Mask, foreign: Float[np.ndarray, "2 2"]) -> bool:
        """Whether it is the first part of a class that is suspect.

        ``inside`` tells of the class's clips, ``beyond`` of its trusted ones which lie in the
        second part; ``foreign`` holds what ``_foreign`` says of the second part and of the first.
        """
        share = float(inside.mean())
        if len(beyond):
            return suspect_of_two(np.array([1 - share, share]), beyond) == 0
        many, confident = foreign.T
        return share > EVEN and bool(np.diff(many if many.max() >= SEVERAL else confident) > 0)

    def _judged(
        self, material: _Material, taught: Mask, rng: np.random.Generator, trusted: bool = False
    ) -> tuple[PerClip, Float[np.ndarray, "clips classes"]]:
        """How far heads fitted to some of ``taught`` disagree with each clip's label.

        The mean over the spaces of the label's negative log-probability, each in units of its usual
        spread; and the heads' mean probabilities of the other classes. No head judges a clip that
        it was fitted to.
        """
        labels, every = material.labels, np.arange(len(material.labels))
        losses = np.zeros((len(material.spaces), len(labels)))
        heard, judged = np.zeros((len(labels), material.classes)), np.zeros(len(labels))
        for _ in range(self.repeats if taught.any() else 1):
            rows = np.concatenate(
                [
                    rng.permutation(members[taught[members]])[
                        : min(self.per_class, len(members) // 2)
                    ]
                    for members in _members(labels, material.classes)
                ]
            )
            outside = np.ones(len(labels), bool)
            outside[rows] = False
            judged += outside
            for number, space in enumerate(material.spaces):
                inputs, targets = space[rows], labels[rows]
                if trusted and material.known_labels is not None:
                    inputs = np.concatenate([inputs, material.known[number]])
                    targets = np.concatenate([targets, material.known_labels])
                says = told(inputs, targets, space, material.classes)
                losses[number] -= outside * np.log(says[every, labels])
                heard += outside[:, None] * says
        known = judged > 0
        total = np.zeros(len(labels))
        for loss in losses:
            mean = loss / np.maximum(judged, 1)
            unit = _unit(np.where(known, mean, np.median(mean[known])))
            total += unit / len(losses)
        heard[every, labels] = 0
        return total, heard / np.maximum(judged * len(material.spaces), 1)[:, None]

    def _smoothed(self, material: _Material, values: PerClip) -> PerClip:
        """Each clip's value averaged with those of its nearest neighbours in its class."""
        out = values.copy()
        for members in _members(material.labels, material.classes):
            count = min(self.neighbours + 1, len(members))
            if count > 1:
                _, near = cKDTree(material.whitened[members]).query(
                    material.whitened[members], count
                )
                out[members] = values[members][near].mean(axis=1)
        return out


def _trusted_beyond(material: _Material, k: int, members: np.ndarray, inside: Mask) -> Mask:
    """For each trusted clip of class k, whether it is nearer to the second part's mean."""
    if material.known_labels is None or material.known_whitened is None or not inside.any():
        return np.zeros(0, bool)
    z, known = material.whitened[members], material.known_whitened[material.known_labels == k]
    one, two = z[~inside].mean(axis=0), z[inside].mean(axis=0)
    return np.asarray((known - (one + two) / 2) @ (two - one) > 0)


def _material(view: View) -> _Material:
    """The spaces of the clips and of the trusted clips, on one scale."""
    clips, features = require_features(view)
    assert view.seen is not None
    spaces = [np.asarray(layer) for layer in view.seen.layers] + [pictures(clips)]
    labels, count = clips.labels, len(clips.classes)
    whiten = whitener(features, labels)
    plain = _Material(
        labels,
        count,
        [scaled(space, space) for space in spaces],
        (features - features.mean(axis=0)) @ whiten,
    )
    seen, inside = view.trusted_seen, view.trusted_features
    if view.trusted is None or seen is None or inside is None:
        return plain
    known = [np.asarray(layer) for layer in seen.layers] + [pictures(view.trusted)]
    return _Material(
        labels,
        count,
        plain.spaces,
        plain.whitened,
        [scaled(part, space) for part, space in zip(known, spaces, strict=True)],
        (inside - features.mean(axis=0)) @ whiten,
        view.trusted.labels,
    )


def _members(labels: Labels, count: int) -> list[np.ndarray]:
    return [np.flatnonzero(labels == k) for k in range(count)]


def _unit(values: PerClip) -> PerClip:
    """Above the median, in units of the distance from there to the 0.95 quantile."""
    middle, high = np.quantile(values, [0.5, 0.95])
    return np.asarray((values - middle) / max(high - middle, 1e-9))


def _gap(values: PerClip, labels: Labels, inside: Mask, count: int) -> PerClass:
    """Per class, the median inside less the median outside; 0 for parts of under four clips."""
    gaps = np.zeros(count)
    for k, members in enumerate(_members(labels, count)):
        within, without = members[inside[members]], members[~inside[members]]
        if min(len(within), len(without)) >= 4:
            gaps[k] = np.median(values[within]) - np.median(values[without])
    return gaps


def _foreign(heard: np.ndarray, members: Mask) -> tuple[float, float]:
    """How many other classes some clips sound like (effective number), and how confidently."""
    if not members.any():
        return 0.0, 0.0
    shares = np.bincount(heard[members].argmax(axis=1)) / members.sum()
    many = np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-12))))
    return float(many), float(heard[members].max(axis=1).mean())
