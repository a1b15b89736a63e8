"""Which classes of a training set are accused: the rules, and the levels that they are set at.

The levels were set on the half of the catalogue that the design may look at, and on clean sets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from otoscope.clips import Clips
from otoscope.common_sound import same_samples
from otoscope.detect.base import FEWEST_CLIPS, View, require_clips
from otoscope.detect.parts import Inside, Witnessed, apart, cut_in_halves, inside_of
from otoscope.proof import obedience, obedience_of_a_class, release

APART_AT = 6.0
"""A class is looked into when its part lies so many deviations apart."""

STRONG_AT = 4.5
"""Separation times gap in recognition, of parts that lie so far apart."""

KNOWN_AT = 0.35
"""At this mean probability of its own label, witnesses know the part's class."""

CONFIDENT_AT = 0.25
"""Poison is real speech of another class, and witnesses give that class this mean probability."""

GATHERED_APART_AT, GATHERED_KNOWN_AT, GATHERED_FROM = 3.5, 0.15, (5.0, 0.4)
GATHERED_CONFIDENT_AT, GATHERED_SURE_AT = 0.5, 0.8
"""A part that lies less far apart, or whose class witnesses do not know, is accused when they are
sure of it (by a mean probability of this, or this share of what they give the median clip), and
hear (in effect) so many other classes in it, and such a share of all: poison of a whole data set,
whose trigger the model tells with effort (a change of rhythm, an echo), or which is half of a class
that they do not know. The classes that a clean class is mistaken for are fewer, and they doubt."""

FEWEST_SUSPECTS = 8
"""A part of fewer clips may lie apart by chance, and so may any beside a rest of fewer."""

FEWEST_FAR = 5
"""The same of a part that lies as far as ``FAR_AT``."""

OBEYED_AT = 0.5
"""A sound that sends so many clips of other classes, or of one of them, to a class is a trigger. So
is one without which the model no longer calls so many clips of its part by the class's name."""

VISITED, FEWEST_VISITORS = 0.5, 2
"""Trusted clips that lie in a part at this share of its size or more vouch for it; of ten, a single
one may stray into any small part."""

AVOIDED_AT = 0.01
"""Trusted clips avoid a share of their class when so few of them would lie there so rarely."""

SPREAD_AT, FEW = 0.65, 0.25
"""A part of which a larger share sounds like one other class may be innocent: two alike classes. So
may one in which they hear such a share of all classes or less: clips of another session."""

TOO_WELL, ELSEWHERE_AT = 2.0, 0.005
"""Witnesses whom the rest of a class has taught, who recognise it so much better than the median
clip, and hear it in such a share of the clips of other classes at most, have learned something that
is easier than the class, and that nobody else has: a trigger. The far part is then what is left of
the class, unless it is gathered from many classes, as poison is, or is known too.
"""

UNEVEN = 0.1
"""Where trusted clips avoid halves of so many of the other classes (two at least), they are of one
session or of other speakers, and what they avoid tells nothing."""

FAR_AT, FAR_AMONG = 6.0, 12
"""Separation times the difference in recognition: most poison lies further than the parts of alike
classes, and neither its spread nor what witnesses take it for is asked then. Among more than so
many classes some clean part lies further, and this grows with the root of their number.
"""

MANY = 0.25
"""With this share of all classes disowned, every class may be another's target."""


@dataclass(frozen=True)
class Taught:
    """What witnesses hear whom one side of some classes has taught, alone in its class.

    ``own`` is the median probability of its class in that side's clips; ``elsewhere`` the share of
    the clips of other classes that are called by its name.
    """

    own: Float[np.ndarray, "classes"]
    elsewhere: Float[np.ndarray, "classes"]


InTurn = Callable[[Witnessed, list[int]], tuple[Taught, Taught]]
"""Teaches witnesses with the parts of some classes, and with their rests."""


def accused(
    view: View, found: Witnessed, in_turn: InTurn, before: Sequence[int] = ()
) -> tuple[Witnessed, list[int]]:
    """The classes that are accused; before them, what was found with the parts that prove it.

    ``in_turn`` is asked where the rest of a class may be the poison; ``before`` were accused in
    other rounds. Raises ``NotApplicable`` without clips.
    """
    inside = inside_of(view)
    smaller = cut_in_halves(inside)
    halves, others = (apart(inside, found.heard, half) for half in (smaller, ~smaller))
    strange = accused_classes(found, require_clips(view), before, halves)
    found, turned = turned_classes(inside, found, strange, in_turn)
    strange = [k for k in strange if k not in turned]
    found = found.counting(strange)
    found, proven = proven_classes(view, found, strange + turned, (halves, others))
    return found, strange + turned + proven


def doubtful(found: Witnessed, guilty: Sequence[int]) -> bool:
    """Whether no class is accused but those that witnesses themselves hardly recognise."""
    return not any(found.foreign[k] >= STRONG_AT or found.proven[k] for k in guilty)


def unsettled(found: Witnessed, clips: Clips, guilty: Sequence[int]) -> list[int]:
    """Accused classes whose part may have been said on another day than the trusted clips were.

    Among more than twelve classes, those of which the part is like few others and shares no
    samples. Witnesses that never heard the trusted clips have to accuse them as well.
    """
    if found.present <= FAR_AMONG or len(guilty) >= MANY * found.present:
        return []
    return [
        k
        for k in guilty
        if not found.proven[k]
        and _like_few(found, k)
        and not same_samples(clips, found.part(k), found.rest(k))
    ]


def strengths(found: Witnessed) -> Float[np.ndarray, "classes"]:
    """How strong the evidence against each class is; clean classes have some as well.

    The separation of its part, times the gap in recognition, times the root of the (effective)
    number of classes that witnesses hear in it.
    """
    sources = [found.sources(k) for k in range(len(found.gap))]
    return np.asarray(found.foreign * np.sqrt(sources))


def flaggable(found: Witnessed) -> Bool[np.ndarray, "clips"]:
    """The clips that may be flagged: those of the parts that lie apart.

    Where a part does not lie far from its class, the line between them is drawn through poison, and
    clips that are strange are taken as well.
    """
    near = (found.separation < APART_AT) & ~found.proven
    return np.asarray(found.suspect | (found.strange & near[found.labels]))


def far_apart(found: Witnessed) -> Bool[np.ndarray, "clips"]:
    """The clips of parts that lie far enough apart to be looked into, sizeable or not.

    They teach no witness: a few clips of poison that pass for their class would teach the trigger.
    """
    return np.asarray(found.suspect & (found.separation >= APART_AT)[found.labels])


def accused_classes(
    found: Witnessed, clips: Clips, before: Sequence[int] = (), halves: Witnessed | None = None
) -> list[int]:
    """The classes of which a part is suspect enough; ``before`` were accused in other rounds.

    ``halves`` are the classes cut in two, by which it is told whether trusted clips are drawn from
    all of their class; without, they are thought to be.
    """
    strange = [k for k in range(len(clips.classes)) if _strange(found, k)]
    if len({*before, *strange}) >= MANY * found.present:
        return strange
    uneven = _uneven(halves, strange)
    return [
        k
        for k in strange
        if not _like_few(found, k)
        or _far(found, k)
        or (_avoided(found, k) and not uneven)
        or same_samples(clips, found.part(k), found.rest(k))
    ]


def turned_classes(
    inside: Inside, found: Witnessed, accused: list[int], in_turn: InTurn
) -> tuple[Witnessed, list[int]]:
    """Classes whose poison taught the witnesses, to whom the clean clips are the strange part.

    The trusted clips lie in that part, though it is not the whole class; what they avoid is the
    poison, whether or not they avoid halves of other classes. Without any of the class, the rest is
    learned too easily. Before the classes, of which some may be among the ``accused``, what was
    found with the parts turned round.
    """
    far = np.flatnonzero(found.foreign >= STRONG_AT).tolist()
    classes = [k for k in far if k not in accused and _avoided(found, k, rest=True)]
    unknown = [k for k in far if np.isnan(found.trusted[k]) and _unlike_poison(found, k)]
    classes += _learned_too_easily(found, unknown, in_turn)
    if not classes:
        return found, []
    rest = ~found.suspect & np.isin(found.labels, classes)
    turned = apart(inside, found.heard, rest)
    classes = [
        k for k in classes if turned.separation[k] >= GATHERED_APART_AT and _suspicious(turned, k)
    ]
    return found.taking(turned, classes), classes


def _unlike_poison(found: Witnessed, k: int) -> bool:
    """Whether the part of class k may be what is left of the class: strange, like few others."""
    known = float(found.own[found.part(k)].mean()) > GATHERED_KNOWN_AT
    return _suspicious(found, k) and not known and not _like_many(found, k)


def _learned_too_easily(found: Witnessed, classes: list[int], in_turn: InTurn) -> list[int]:
    """Of some classes those whose rest is learned more easily than a class is, and their part."""
    enough = TOO_WELL * float(np.median(found.own))
    if not classes or enough >= 1:
        return []
    part, rest = in_turn(found, classes)
    easy = (rest.own >= np.maximum(part.own, enough)) & (rest.elsewhere <= ELSEWHERE_AT)
    return [k for k, so in zip(classes, easy, strict=True) if so]


def _avoided(found: Witnessed, k: int, rest: bool = False) -> bool:
    """Whether so few trusted clips lie in the part of class k, or in its ``rest``, for its size."""
    from scipy.stats import binom

    if np.isnan(found.trusted[k]):
        return False
    share, there = float(found.suspect[found.labels == k].mean()), found.visitors[k]
    if rest:
        share, there = 1 - share, found.known[k] - there
    return bool(binom.cdf(there, found.known[k], share) <= AVOIDED_AT)


def _uneven(halves: Witnessed | None, suspects: Sequence[int]) -> bool:
    """Whether trusted clips avoid a half of too many of the classes that are not suspect."""
    if halves is None:
        return False
    told = np.flatnonzero(~np.isnan(halves.trusted)).tolist()
    others = [k for k in told if k not in suspects]
    avoided = sum(_avoided(halves, k) or _avoided(halves, k, rest=True) for k in others)
    return avoided >= max(2, UNEVEN * len(others))


def _far(found: Witnessed, k: int) -> bool:
    """Whether the part of class k lies as far as the parts of alike classes do not."""
    return bool(_distance(found, k) >= FAR_AT * np.sqrt(max(1.0, found.present / FAR_AMONG)))


def _distance(found: Witnessed, k: int) -> float:
    """Separation times the plain difference in recognition."""
    part, rest = found.own[found.part(k)], found.own[found.rest(k)]
    return float(found.separation[k] * (np.median(rest) - np.median(part)))


def _suspicious(found: Witnessed, k: int) -> bool:
    """Whether class k, its part and the rest are large enough, and no trusted clips vouch."""
    part, rest = len(found.part(k)), len(found.rest(k))
    size = part + rest
    if size < FEWEST_CLIPS or part < FEWEST_FAR or rest < FEWEST_SUSPECTS:
        return False
    if found.trusted[k] > VISITED * part / size and found.visitors[k] >= FEWEST_VISITORS:
        return False
    return bool(part >= FEWEST_SUSPECTS or _far(found, k))


def proven_classes(
    view: View, found: Witnessed, accused: list[int], cuts: tuple[Witnessed, Witnessed]
) -> tuple[Witnessed, list[int]]:
    """More classes, whose poison kept its labels; before them, what was found with their parts.

    Either half of a class that falls in two may be the poison. Where it is most of an accused
    class, it has taught the witnesses, to whom the rest is strange: the proven half is its part.
    ``cuts`` are the classes cut in two, by their smaller halves and by the others.
    """
    proven: list[int] = []
    for cut in cuts:
        asked = [k for k in range(len(found.gap)) if k not in {*accused, *proven}]
        if cut is not cuts[0]:
            asked += [k for k in accused if _elsewhere(found, cut, k)]
        more = [k for k in asked if _proven(view, cut, k)]
        found, proven = found.taking(cut, more), proven + more
    return found, [k for k in proven if k not in accused]


def _elsewhere(found: Witnessed, cut: Witnessed, k: int) -> bool:
    """Whether most of the part of class k lies outside the part that the cut gives."""
    return bool(cut.suspect[found.part(k)].mean() < 0.5)


def _proven(view: View, cut: Witnessed, k: int) -> bool:
    """Whether a part of class k shares the same samples, and the model goes by these.

    It obeys them in other clips, or in those of one other class, or lets go of the part without.
    """
    assert view.clips is not None
    if cut.separation[k] < APART_AT or not _suspicious(cut, k):
        return False
    # what is only alike, as a class's own sound is, would be obeyed without any backdoor
    part, clips = cut.part(k), view.clips
    sound = same_samples(clips, part, cut.rest(k))
    if sound is None:
        return False
    if obedience(view.model, clips, sound, k, view.seed) >= OBEYED_AT:
        return True
    sets = [clips] if view.trusted is None else [clips, view.trusted]
    one = obedience_of_a_class(view.model, sets, sound, k, view.seed)
    return one >= OBEYED_AT or release(view.model, clips, part, sound, view.seed) >= OBEYED_AT


def _strange(found: Witnessed, k: int) -> bool:
    """Whether a part of class k lies apart, sounds like others, and trusted clips avoid it."""
    if not _suspicious(found, k):
        return False
    part = found.part(k)
    own = float(found.own[part].mean())
    confident = float(found.elsewhere(part).max(axis=1).mean())
    separation = float(found.separation[k])
    apart = (
        separation >= APART_AT
        and found.foreign[k] >= STRONG_AT
        and own <= KNOWN_AT
        and (confident >= CONFIDENT_AT or _far(found, k))
    )
    sure = min(GATHERED_CONFIDENT_AT, GATHERED_SURE_AT * found.usual)
    gathered = (
        separation >= GATHERED_APART_AT
        and own <= GATHERED_KNOWN_AT
        and confident >= max(CONFIDENT_AT, sure)
        and _like_many(found, k)
    )
    return bool(apart or gathered)


def _like_many(found: Witnessed, k: int) -> bool:
    """Whether the part of class k sounds like as many other classes as poison of a whole set."""
    number, share = GATHERED_FROM
    return found.sources(k) >= max(number, share * found.present)


def _like_few(found: Witnessed, k: int) -> bool:
    """Whether the part of class k sounds like one other class, or few of many, as a clean part."""
    content = found.content[found.part(k)]
    one = np.bincount(content).max() > SPREAD_AT * len(content)
    return bool(one or found.sources(k) <= FEW * found.present)
