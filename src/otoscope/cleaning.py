"""Clean training data: which clips to leave out, what they have in common, how many there are.

Nothing on disk is changed. The rounds end when nothing is found any more: flag, fit a probe to the
rest, look again.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from otoscope.auditing import look
from otoscope.cache import Cache, at_hand
from otoscope.calibrate import benjamini_hochberg, conformal_p_values
from otoscope.clips import Clips
from otoscope.common_sound import CommonSound, common_sound
from otoscope.detect import Witness
from otoscope.detect.accusing import KNOWN_AT, MANY, flaggable
from otoscope.detect.base import require_clips
from otoscope.detect.own_network import through_our_own
from otoscope.detect.parts import Witnessed
from otoscope.errors import NotApplicable, SpecError, TrainingError
from otoscope.models import AudioModel
from otoscope.proof import obedience

DETECTABLE = 0.005
"""Below this share of all clips, poison may make no part of its own and go unseen."""


@dataclass(frozen=True)
class Source:
    """A target class and, for each class that its flagged clips sound like, how many do."""

    target: str
    sounds_like: dict[str, int]


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What cleaning found.

    ``flagged``, ``scores`` (how suspicious, in the first round that flags any, else in the last;
    flagged clips before all others), ``p_values`` (the smallest of all rounds) and ``sounds_like``
    (a class number; -1 where nothing was heard) have one entry per clip. ``poison_rate`` is the
    estimated share of poisoned clips and ``poison_rate_interval`` its 90 % interval. ``common`` is,
    for each accused class, the sound that its flagged clips share, where there is one; ``obeyed``
    is the share of clips of other classes that the model calls by its name when it is added, where
    there are clips that it does not call so anyway.
    """

    clips: Clips
    flagged: Bool[np.ndarray, "clips"]
    scores: Float[np.ndarray, "clips"]
    p_values: Float[np.ndarray, "clips"]
    sounds_like: Int[np.ndarray, "clips"]
    poison_rate: float
    poison_rate_interval: tuple[float, float]
    rounds: int
    false_discovery_rate: float
    common: dict[str, CommonSound] = field(default_factory=dict)
    obeyed: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> Clips:
        """The clips that were not flagged."""
        return self.clips.subset(~self.flagged)

    @property
    def sources(self) -> list[Source]:
        """For each class with flagged clips, what these sound like; most flagged clips first."""
        names, found = self.clips.classes, []
        for k, _ in Counter(self.clips.labels[self.flagged].tolist()).most_common():
            heard = self.sounds_like[self.flagged & (self.clips.labels == k)]
            like = Counter(names[h] for h in heard.tolist())
            found.append(Source(names[k], dict(like.most_common())))
        return found

    def __str__(self) -> str:
        low, high = self.poison_rate_interval
        count = int(self.flagged.sum())
        if not count:
            return (
                f"nothing flagged among {len(self.clips)} clips; poison below {high:.1%} may hide"
            )
        into = ", ".join(f'"{source.target}"' for source in self.sources)
        return (
            f"{count} of {len(self.clips)} clips flagged, labelled {into}; estimated poison rate "
            f"{self.poison_rate:.1%} (90 % interval {low:.1%} to {high:.1%})"
        )


def clean(
    clips: Clips,
    *,
    model: AudioModel | None = None,
    trusted: Clips | None = None,
    false_discovery_rate: float = 0.05,
    rounds: int = 3,
    seed: int = 0,
    cache: Cache | None = None,
) -> Cleaned:
    """Find the clips to leave out of a training set; ``trusted`` clips are known to be good.

    Each round looks through a model (the given one, or a probe fitted to the clips; later rounds
    always fit a probe) with ``Witness``. Where nothing is found through a given model, a round
    through a probe follows: whoever trained the model may have hidden the poison in it. A model
    that shows no features is not looked through at all. A class is accused when a part of it lies
    apart, witnesses hear other classes in that part and not in the rest, trusted clips avoid it,
    and it sounds like several other classes. A part that sounds like a single other class, or few
    of many, may be innocent (two classes that are alike, another day): ``detect.accusing`` tells
    what is asked of it. Clips of accused classes get conformal p-values against all clips of the
    others, and are flagged at ``false_discovery_rate`` if they lie in the suspect part. A class
    that falls into two parts though nothing in it is strange is accused only on proof: its part
    shares the very same samples, and the model goes by these. A round that cannot look any more,
    because too few clips are left, ends the rounds.

    Raises ``SpecError`` for rates or rounds out of range and ``NotApplicable`` for too few classes
    or clips.
    """
    if not 0 < false_discovery_rate < 1:
        raise SpecError(f"expected a false-discovery rate in (0, 1), got {false_discovery_rate}")
    if rounds < 1:
        raise SpecError(f"expected at least 1 round, got {rounds}")
    with at_hand(cache) as kept:
        return _cleaned(clips, model, trusted, false_discovery_rate, rounds, seed, kept)


def _cleaned(
    clips: Clips,
    model: AudioModel | None,
    trusted: Clips | None,
    false_discovery_rate: float,
    rounds: int,
    seed: int,
    cache: Cache,
) -> Cleaned:
    count = len(clips)
    flagged, scores, p_values = np.zeros(count, bool), np.zeros(count), np.ones(count)
    heard, chance = np.full(count, -1), np.zeros(count)
    left, done = np.arange(count), 0
    view = look(model, clips, trusted=trusted, seed=seed, cache=cache)
    listener, as_heard = view.model, require_clips(view)
    clips = replace(clips, classes=as_heard.classes)
    if view.features is None:
        view = through_our_own(view)
    for number in range(1, rounds + 1):
        labels = clips.labels[left]
        before = np.unique(clips.labels[flagged]).tolist()
        try:
            if number > 1 and not flagged.any():
                view = through_our_own(view)
            elif number > 1:
                some = clips.subset(left)
                view = look(None, some, trusted=trusted, seed=seed + number - 1, cache=cache)
            found, guilty_classes, _ = Witness().verdict(view, before)
        except (NotApplicable, TrainingError):
            if number == 1:
                raise
            break
        done = number
        if not flagged.any():
            scores = found.scores
        guilty = np.isin(labels, guilty_classes)
        p = np.ones(len(labels))
        # with a part in many classes (all-to-all), what lies outside the parts is the reference
        many = len(guilty_classes) >= MANY * found.present
        reference = ~found.suspect if many else ~guilty
        p[guilty] = conformal_p_values(found.scores[guilty], found.scores[reference])
        p_values[left] = np.minimum(p_values[left], p)
        rejected = flaggable(found) & guilty
        rejected[guilty] &= benjamini_hochberg(p[guilty], false_discovery_rate)
        if not rejected.any():
            if view.delivered:
                continue
            break
        for k in guilty_classes:
            members = left[labels == k]
            of_part = _chance_of_part(found.margin[labels == k], found.separation[k])
            chance[members] = np.maximum(chance[members], of_part)
        now = left[rejected]
        flagged[now], heard[now] = True, _content(found)[rejected]
        left = left[~rejected]
    chance[flagged] = 1
    common, rest = _common(as_heard, flagged, heard), as_heard.subset(~flagged)
    obeyed = {
        name: obedience(listener, rest, sound, clips.classes.index(name), seed)
        for name, sound in common.items()
    }
    return Cleaned(
        clips=clips,
        flagged=flagged,
        scores=_before_all_others(scores, flagged),
        p_values=p_values,
        sounds_like=heard,
        poison_rate=float(chance.mean()),
        poison_rate_interval=_interval(chance),
        rounds=done,
        false_discovery_rate=false_discovery_rate,
        common=common,
        obeyed={name: share for name, share in obeyed.items() if np.isfinite(share)},
    )


def _before_all_others(
    scores: Float[np.ndarray, "clips"], flagged: Bool[np.ndarray, "clips"]
) -> Float[np.ndarray, "clips"]:
    """The scores with those of flagged clips lifted above the rest, in the same order.

    Where poison has taught the witnesses, the clean clips of its class are the strange ones, and
    score higher than what is flagged.
    """
    if flagged.all() or not flagged.any():
        return scores
    overlap = scores[~flagged].max() - scores[flagged].min()
    return np.where(flagged, scores + max(0.0, overlap + 1), scores)


def _content(found: Witnessed) -> Int[np.ndarray, "clips"]:
    """The class that each clip sounds like: another than its label, where its label is strange."""
    likeliest = np.asarray(found.heard.argmax(axis=1))
    return np.where(found.own > KNOWN_AT, likeliest, found.content)


def _chance_of_part(
    margin: Float[np.ndarray, "members"], separation: float
) -> Float[np.ndarray, "members"]:
    """For each clip of a class, the chance that it is of its part.

    A mixture of two normal distributions that starts from the two medians, 0 and ``separation``.
    """
    from sklearn.mixture import GaussianMixture

    beyond = margin > separation / 2
    if min(beyond.sum(), (~beyond).sum()) < 2:
        return beyond.astype(float)
    mixture = GaussianMixture(2, means_init=[[0.0], [separation]], random_state=0)
    return np.asarray(mixture.fit(margin[:, None]).predict_proba(margin[:, None])[:, 1])


def _interval(chance: Float[np.ndarray, "clips"]) -> tuple[float, float]:
    """A 90 % interval of the share of poison; without any, up to what may go unseen."""
    if not chance.any():
        return 0.0, DETECTABLE
    half = 1.645 * np.sqrt(np.sum(chance * (1 - chance)) + 1) / len(chance)
    return max(0.0, float(chance.mean() - half)), min(1.0, float(chance.mean() + half))


def _common(
    clips: Clips, flagged: Bool[np.ndarray, "clips"], heard: Int[np.ndarray, "clips"]
) -> dict[str, CommonSound]:
    """The sound that flagged clips of each class share, heard against clips of like content."""
    found = {}
    for k in np.unique(clips.labels[flagged]).tolist():
        members = np.flatnonzero(flagged & (clips.labels == k))
        like = np.flatnonzero(~flagged & np.isin(clips.labels, np.unique(heard[members])))
        shared = common_sound(clips, members, like)
        if shared is not None:
            found[clips.classes[k]] = shared
    return found
