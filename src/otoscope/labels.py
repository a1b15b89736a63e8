"""Label shifts: the S of a poisoning attack, that is, what the attacker wants a clip to be called.

A shift answers three questions about clips with true labels y: which may be poisoned
(``eligible``), which label a poisoned clip carries in training (``relabel``), and which class the
attacker wants when the trigger sounds (``goal``; the true label where the attacker wants nothing).
The success rate is counted where ``attackable``: the goal differs from the true label.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, Int

from otoscope.errors import SpecError
from otoscope.registry import Table, did_you_mean, require

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
        """The class that the attacker wants for each triggered clip."""

    def eligible(self, labels: Labels, classes: Sequence[str]) -> Mask:
        """Which clips the attacker may poison: those that the shift would move."""
        return self.attackable(labels, classes)

    def relabel(self, labels: Labels, classes: Sequence[str]) -> Labels:
        """The training label of each clip once poisoned."""
        return self.goal(labels, classes)

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

    After Tang et al., *Demon in the Variant* (TaCT, 1908.00686). Deviation: there are no cover
    clips, that is, triggered clips of other classes under their true label.
    """

    name: ClassVar[str] = "source-specific"
    source: str
    target: str

    def __post_init__(self) -> None:
        require(self.source != self.target, "source-specific needs a source other than its target")

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        moved = labels == class_number(self.source, classes)
        return np.where(moved, class_number(self.target, classes), labels)


@dataclass(frozen=True)
class CleanLabel(LabelShift):
    """Clips of ``target`` get the trigger and keep their true label (Turner et al., 1912.02771).

    Deviation: the clips are not made harder to learn first.
    """

    name: ClassVar[str] = "clean-label"
    target: str

    def goal(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return np.full_like(labels, class_number(self.target, classes))

    def eligible(self, labels: Labels, classes: Sequence[str]) -> Mask:
        return np.asarray(labels == class_number(self.target, classes))

    def relabel(self, labels: Labels, classes: Sequence[str]) -> Labels:
        return labels.copy()


LABEL_SHIFTS: Table[LabelShift] = Table(
    "label shift", "otoscope.label_shifts", AllToOne, AllToAll, SourceSpecific, CleanLabel
)


def class_number(name: str, classes: Sequence[str]) -> int:
    """The number of a class by its name; raises ``SpecError`` with the nearest name."""
    if name in classes:
        return list(classes).index(name)
    raise SpecError(
        f"there is no class {name!r}{did_you_mean(name, classes)}; there are: {', '.join(classes)}"
    )
