"""The attacker's action space: a poisoning as a tuple of integer bins.

Five axes say how clips are poisoned and by which trigger family, a sixth, where the attacker trains
the model, how the poison is hidden in it; the slots after them are the family's parameters, and a
slot that a family does not use is 0. All values lie on grids, so
that a search, a policy or a language model proposes small whole numbers and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from otoscope.catalogue import Entry, roles
from otoscope.clips import Clips
from otoscope.errors import SpecError
from otoscope.labels import LABEL_SHIFTS, LabelShift
from otoscope.poisoning import Attack
from otoscope.redteam.families import FAMILIES, Family, Room
from otoscope.redteam.strategy import Bins
from otoscope.registry import build, did_you_mean, spec
from otoscope.triggers import TRIGGERS

Selection = Literal["random", "hardest"]

RATES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08)
COVERS = (0.0, 0.5, 1.0, 2.0)
"""Cover clips, as a multiple of the poison rate."""

SHIFTS = {
    "all-to-one": "all-to-one:target={target}",
    "source-specific": "source-specific:source={source},target={target}",
    "clean-label": "clean-label:target={target}",
    "dirty-flip": "dirty-flip:target={target}",
    "all-to-all": "all-to-all",
    "untargeted": "untargeted",
}
SELECTIONS: tuple[Selection, ...] = ("random", "hardest")

HIDING = (0.0, 0.3, 1.0, 3.0)
"""The weight with which a training that the attacker controls hides the poison; 0 is none."""

FAMILY = 4
"""The place of the family among the axes."""

SLOT = 12
"""Every parameter slot has so many bins, shared out among the family's values for it."""

FREE = 0.9
"""At most this share of the clips that a label shift may poison is poisoned."""


@dataclass(frozen=True)
class Plan:
    """What to do: an attack, by what the clips for it are chosen, and how far training hides it."""

    attack: Attack
    selection: Selection = "random"
    hiding: float = 0.0

    @property
    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        hidden = {"hiding": self.hiding} if self.hiding else {}
        return self.attack.told | {"selection": self.selection} | hidden


@dataclass(frozen=True)
class Dimension:
    """One axis: its name, how many bins, and whether neighbouring bins are alike."""

    name: str
    size: int
    ordered: bool


@dataclass(frozen=True)
class Space:
    """The space for one data set: its room, its classes and their sizes, and the target.

    ``roles`` names the target and the source class. ``families`` may be fewer than all. ``hides``
    says that the attacker trains the model, too. Made by ``Space.of``.
    """

    room: Room
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    roles: tuple[tuple[str, str], ...]
    families: tuple[str, ...] = tuple(FAMILIES)
    hides: bool = False

    @staticmethod
    def of(
        clips: Clips, seed: int, families: Sequence[str] = tuple(FAMILIES), *, hides: bool = False
    ) -> "Space":
        """The space on these clips; the target class goes round with the seed, as in the catalogue.

        Raises ``SpecError`` for a family that there is not, or none.
        """
        for name in families:
            if name not in FAMILIES:
                raise SpecError(
                    f"there is no trigger family {name!r}{did_you_mean(name, FAMILIES)}; "
                    f"there are: {', '.join(FAMILIES)}"
                )
        if not families:
            raise SpecError("the space needs at least one trigger family, got none")
        return Space(
            Room(clips.sample_rate / 2, clips.duration_s),
            clips.classes,
            tuple(np.bincount(clips.labels, minlength=len(clips.classes)).tolist()),
            tuple(roles(clips.classes, seed).items()),
            tuple(families),
            hides,
        )

    @property
    def common(self) -> int:
        """So many axes come before the slots."""
        return FAMILY + 1 + self.hides

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """All axes, in the order of the bins."""
        slots = max(len(FAMILIES[name].parameters) for name in self.families)
        return (
            Dimension("rate", len(RATES), True),
            Dimension("shift", len(SHIFTS), False),
            Dimension("cover", len(COVERS), True),
            Dimension("selection", len(SELECTIONS), False),
            Dimension("family", len(self.families), False),
            *([Dimension("hiding", len(HIDING), True)] if self.hides else []),
            *(Dimension(f"slot{number + 1}", SLOT, True) for number in range(slots)),
        )

    @property
    def sizes(self) -> Bins:
        """How many bins each axis has."""
        return tuple(dimension.size for dimension in self.dimensions)

    def clamp(self, bins: Sequence[int]) -> Bins:
        """The nearest bins that are an attack on this data set, in their one form.

        Each is moved into its range; a slot goes to the first bin of its value; slots without a
        parameter, and those of absent parts, become 0; rate and cover are lowered to what the label
        shift may poison, and the rate raised to at least one clip. Raises ``SpecError`` unless
        there is one whole number for each axis.
        """
        if len(bins) != len(self.sizes) or any(
            isinstance(b, bool) or not isinstance(b, int | np.integer) for b in bins
        ):
            raise SpecError(f"expected {len(self.sizes)} whole numbers, got {bins!r:.200}")
        inside = [min(max(int(b), 0), size - 1) for b, size in zip(bins, self.sizes, strict=True)]
        common, slots = inside[: self.common], inside[self.common :]
        common[0], common[2] = self._possible(*common[:3])
        one = self.family(common)
        indices = one.canonical(_indices(one, slots))
        return (*common, *_slots(one, indices, len(slots)))

    def decode(self, bins: Sequence[int]) -> Plan:
        """The plan that the clamped bins stand for.

        Raises ``SpecError`` where the trigger refuses its parameters.
        """
        clamped = self.clamp(bins)
        rate, shift, cover, selection = clamped[:FAMILY]
        one = self.family(clamped)
        trigger = one.trigger(_indices(one, clamped[self.common :]), self.room)
        cover_rate = COVERS[cover] * RATES[rate]
        attack = Attack(trigger, self._shift(shift), RATES[rate], cover_rate)
        hiding = HIDING[clamped[FAMILY + 1]] if self.hides else 0.0
        return Plan(attack, SELECTIONS[selection], hiding)

    def encode(self, plan: Plan) -> Bins:
        """The bins that come nearest to a plan.

        Raises ``SpecError`` when its trigger or its label shift is of no family of this space.
        """
        attack = plan.attack
        name, shift = attack.trigger.name, attack.shift.name
        if name not in self.families or shift not in SHIFTS:
            raise SpecError(f"this space has no trigger {name!r} with label shift {shift!r}")
        one = FAMILIES[name]
        slots = len(self.dimensions) - self.common
        hiding = int(np.abs(np.array(HIDING) - plan.hiding).argmin())
        return self.clamp(
            (
                int(np.abs(np.log(np.array(RATES) / attack.rate)).argmin()),
                list(SHIFTS).index(shift),
                int(np.abs(np.array(COVERS) - attack.cover_rate / attack.rate).argmin()),
                SELECTIONS.index(plan.selection),
                self.families.index(name),
                *([hiding] if self.hides else []),
                *_slots(one, one.indices(attack.trigger, self.room), slots),
            )
        )

    def published(self, entry: Entry) -> Bins | None:
        """The bins nearest to a catalogue entry, or None where this space cannot express it."""
        if entry.training or entry.also or entry.selection not in SELECTIONS:
            return None
        shift = build(LABEL_SHIFTS, entry.labels.format(**dict(self.roles)))
        trigger = build(TRIGGERS, entry.trigger)
        attack = Attack(trigger, shift, entry.rate, entry.cover_rate)
        try:
            return self.encode(
                Plan(attack, "hardest" if entry.selection == "hardest" else "random")
            )
        except SpecError:
            return None

    def draw(self, rng: np.random.Generator) -> Bins:
        """Bins drawn uniformly, axis by axis, then clamped."""
        return self.clamp([int(rng.integers(size)) for size in self.sizes])

    def distance(self, a: Bins, b: Bins) -> float:
        """How far two plans lie apart, 0 to 1: the mean over axes that either of them uses.

        On an ordered axis the difference of bins over the largest one; else 0 or 1. Slots of
        different families are 1 apart.
        """
        a, b = self.clamp(a), self.clamp(b)
        common = self.common
        used = common + max(len(self.family(bins).parameters) for bins in (a, b))
        apart = [
            abs(x - y) / (d.size - 1) if d.ordered else float(x != y)
            for x, y, d in zip(a[:common], b[:common], self.dimensions[:common], strict=True)
        ]
        if a[FAMILY] == b[FAMILY]:
            apart += [
                abs(x - y) / (SLOT - 1) for x, y in zip(a[common:used], b[common:used], strict=True)
            ]
        else:
            apart += [1.0] * (used - common)
        return float(np.mean(apart))

    def family(self, bins: Sequence[int]) -> Family:
        """The trigger family of some bins."""
        return FAMILIES[self.families[bins[FAMILY]]]

    def stride(self, bins: Sequence[int], at: int) -> int:
        """How many bins of an ordered axis lie between one value and the next, rounded up."""
        if at < self.common:
            return 1
        return -(-SLOT // len(self.family(bins).parameters[at - self.common].values))

    def told(self, bins: Sequence[int]) -> dict[str, Any]:
        """What the bins stand for, as plain JSON values."""
        return self.decode(bins).told

    def grid(self) -> dict[str, Any]:
        """All that bins can mean, as plain JSON values: the axes, and each family's slots.

        A slot's bin b of ``SLOT`` means the value number b x (values) // ``SLOT``.
        """
        shifts = {name: spec(self._shift(k)) for k, name in enumerate(SHIFTS)}
        return {
            "rate": list(RATES),
            "shift": list(shifts.values()),
            "cover": list(COVERS),
            "selection": list(SELECTIONS),
            "family": list(self.families),
            **({"hiding": list(HIDING)} if self.hides else {}),
            "slots": {
                name: {
                    p.field: [p.value(i, self.room) for i in range(len(p.values))]
                    for p in FAMILIES[name].parameters
                }
                for name in self.families
            },
        }

    def _shift(self, number: int) -> LabelShift:
        form = list(SHIFTS.values())[number]
        return build(LABEL_SHIFTS, form.format(**dict(self.roles)))

    @cached_property
    def _labels(self) -> Int[np.ndarray, "clips"]:
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def _possible(self, rate: int, shift: int, cover: int) -> tuple[int, int]:
        """Rate and cover moved to what there are clips for."""
        asked, total = self._shift(shift), len(self._labels)
        movable = FREE * asked.eligible(self._labels, self.classes).mean()
        coverable = asked.coverable(self._labels, self.classes)
        while rate > 0 and RATES[rate] > movable:
            rate -= 1
        while rate < len(RATES) - 1 and round(RATES[rate] * total) < 1:
            rate += 1
        while cover > 0 and RATES[rate] * (1 + COVERS[cover]) > FREE * coverable.mean():
            cover -= 1
        return rate, cover


def _indices(family: Family, slots: Sequence[int]) -> tuple[int, ...]:
    """Slot bins to indices of the parameters' values."""
    return tuple(
        slot * len(p.values) // SLOT for p, slot in zip(family.parameters, slots, strict=False)
    )


def _slots(family: Family, indices: Sequence[int], count: int) -> tuple[int, ...]:
    """Indices to the first slot bin of each, then zeros."""
    slots = [
        -(-index * SLOT // len(p.values))
        for p, index in zip(family.parameters, indices, strict=True)
    ]
    return (*slots, *[0] * (count - len(slots)))
