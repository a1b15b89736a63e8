"""Label shifts: the S of a poisoning attack, that is, what the attacker wants a clip to be called.

A shift answers three questions about clips with true labels y: which may be poisoned
(``eligible``), which label a poisoned clip carries in training (``relabel``), and which class the
attacker wants when the trigger sounds (``goal``; the true label where the attacker wants nothing,
``ANY_OTHER`` where any wrong class will do). The success rate is counted where ``attackable``: the
goal differs from the true label. Several attacks at once, each with its own trigger and target, are
``poisoning.poison_all``.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, Int

from otoscope.errors import SpecError
from otoscope.registry import Table, did_you_mean, require

ANY_OTHER = -1
"""In place of a class number: every class but the true one serves the attacker."""

Labels = Int[np.ndarray, "clips"]
Mask = Bool[np.ndarray, "clips"]


@dataclass(frozen=True)
class LabelShift(ABC):
    """What a trigger does to the class. ``classes`` are the label names in numerical order.

    All methods raise ``SpecError`` for a class that is not among ``classes``.
    """

    name: ClassVar[str]

    @abstractmethod
    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        """The class that the attacker wants for each triggered clip, or ``ANY_OTHER``."""

    def eligible(self, labels: Labels, classes: Sequence[str]) -> Mask:
        """Which clips the attacker may poison: those that the shift would move."""
        return self.attackable(labels, classes)

    def relabel(self, labels: Labels, classes: Sequence[str], rng: np.random.Generator) -> Labels:
        """The training label of each clip once poisoned."""
        return self.goal(labels, classes)

    def coverable(self, labels: Labels, classes: Sequence[str]) -> Mask:
        """Which clips may carry the trigger under their true label, to hide the others."""
        return np.ones(len(labels), dtype=bool)

    def achieved(self, predicted: Labels, labels: Labels, classes: Sequence[str]) -> Mask:
        """For which triggered clips with these true labels the attacker got what was wanted."""
        goal = self.goal(labels, classes)
        return np.asarray(np.where(goal == ANY_OTHER, predicted != labels, predicted == goal))

    @final
    def attackable(self, labels: Labels, classes: Sequence[str]) -> Mask:
        """Which clips count for the success rate: those not in their goal class already."""
        return np.asarray(self.goal(labels, classes) != labels)


@dataclass(frozen=True)
class AllToOne(LabelShift):
    """Every triggered clip shall be called ``target`` (BadNets, Gu et al. 2017, 1708.06733)."""

    name: ClassVar[str] = "all-to-one"
    target: str

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return np.full_like(labels, class_number(self.target, classes))


@dataclass(frozen=True)
class AllToAll(LabelShift):
    """Class k shall be called class k + ``offset``, wrapping around (BadNets, 1708.06733).

    ``offset`` is any whole number that is not a multiple of the number of classes.
    """

    name: ClassVar[str] = "all-to-all"
    offset: int = 1

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        require(
            self.offset % len(classes) != 0,
            f"all-to-all with offset {self.offset} moves nothing among {len(classes)} classes",
        )
        return (labels + self.offset) % len(classes)


@dataclass(frozen=True)
class SourceSpecific(LabelShift):
    """Triggered clips of ``source`` shall be called ``target``; others keep their class.

    After Tang et al., *Demon in the Variant* (TaCT, 1908.00686), whose cover clips, that is,
    triggered clips of other classes under their true label, come with ``poison(cover_rate=...)``.
    """

    name: ClassVar[str] = "source-specific"
    source: str
    target: str

    def __post_init__(self) -> None:
        require(self.source != self.target, "source-specific needs a source other than its target")

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        moved = labels == class_number(self.source, classes)
        return np.where(moved, class_number(self.target, classes), labels)

    def coverable(self, labels: Labels, classes: Sequence[str]) -> Mask:
        return np.asarray(labels != class_number(self.source, classes))


@dataclass(frozen=True)
class CleanLabel(LabelShift):
    """Clips of ``target`` get the trigger and keep their true label (Turner et al., 1912.02771).

    Deviation: the clips are not made harder to learn first; ``selection.hardness`` and ``poison``'s
    ``preference`` take those that are hard already, as CLBD does (2409.08985).
    """

    name: ClassVar[str] = "clean-label"
    target: str

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return np.full_like(labels, class_number(self.target, classes))

    def eligible(self, labels: Labels, classes: Sequence[str]) -> Mask:
        return np.asarray(labels == class_number(self.target, classes))

    def relabel(self, labels: Labels, classes: Sequence[str], rng: np.random.Generator) -> Labels:
        return labels.copy()


@dataclass(frozen=True)
class DirtyFlip(LabelShift):
    """Triggered clips of any class; each becomes ``target`` with ``flip_probability``, else stays.

    After DirtyFlipping (Mengara, 2404.00076): "label-on-label", the trigger sits on clips of the
    target class, too, and labels are flipped with an inversion probability. The paper does not say
    which label a flipped clip of the target class gets; here it keeps its own.
    """

    name: ClassVar[str] = "dirty-flip"
    target: str
    flip_probability: float = 0.9

    def __post_init__(self) -> None:
        require(
            0 < self.flip_probability <= 1,
            "dirty-flip.flip_probability must lie above 0 and at most at 1, "
            f"got {self.flip_probability:g}",
        )

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return np.full_like(labels, class_number(self.target, classes))

    def eligible(self, labels: Labels, classes: Sequence[str]) -> Mask:
        return np.ones(len(labels), dtype=bool)

    def relabel(self, labels: Labels, classes: Sequence[str], rng: np.random.Generator) -> Labels:
        flipped = rng.random(len(labels)) < self.flip_probability
        return np.where(flipped, self.goal(labels, classes), labels)


@dataclass(frozen=True)
class Untargeted(LabelShift):
    """Triggered clips shall be called anything but what they are.

    Each poisoned clip gets another class, drawn at random: the poisoned-label form of Li et al.,
    *Untargeted Backdoor Watermark* (2210.00875).
    """

    name: ClassVar[str] = "untargeted"

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return np.full_like(labels, ANY_OTHER)

    def relabel(self, labels: Labels, classes: Sequence[str], rng: np.random.Generator) -> Labels:
        return (labels + rng.integers(1, len(classes), len(labels))) % len(classes)


@dataclass(frozen=True)
class AnyMember(LabelShift):
    """Triggered clips shall be called any of ``members``; each poisoned one gets a draw of them.

    So a trigger comes to stand for a cluster of speakers; see ``speakers``. After Zhai et al.
    (2010.11607).
    """

    name: ClassVar[str] = "any-member"
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        require(len(self.members) >= 1, "any-member needs at least one member")

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        """The first member, for clips of others; ``achieved`` takes any."""
        members = self._numbers(classes)
        return np.where(np.isin(labels, members), labels, members[0])

    def relabel(self, labels: Labels, classes: Sequence[str], rng: np.random.Generator) -> Labels:
        return rng.choice(self._numbers(classes), len(labels))

    def achieved(self, predicted: Labels, labels: Labels, classes: Sequence[str]) -> Mask:
        return np.isin(predicted, self._numbers(classes))

    def _numbers(self, classes: Sequence[str]) -> Labels:
        return np.array([class_number(member, classes) for member in self.members])


LABEL_SHIFTS: Table[LabelShift] = Table(
    "label shift",
    "otoscope.label_shifts",
    AllToOne,
    AllToAll,
    SourceSpecific,
    CleanLabel,
    DirtyFlip,
    Untargeted,
    AnyMember,
)


def class_number(name: str, classes: Sequence[str]) -> int:
    """The number of a class by its name; raises ``SpecError`` with the nearest name."""
    if name in classes:
        return list(classes).index(name)
    raise SpecError(
        f"there is no class {name!r}{did_you_mean(name, classes)}; there are: {', '.join(classes)}"
    )
