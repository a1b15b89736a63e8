"""What every data set gives: four disjoint sets of clips."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import ManifestError
from otoscope.manifests import Manifest, Row

SPLITS = ("train", "validation", "test", "trusted")

FEWEST_DRAWN = 20
"""A class needs so many clips for splits to be drawn from it."""

TRUSTED_PER_CLASS = 10
"""How many clips of each class a defender is given, where the data set does not say."""


@dataclass(frozen=True, eq=False)
class Splits:
    """One data set in four parts that share no recording, with the same ``classes``.

    ``train`` is what an attacker may have touched; ``validation`` decides when training stops;
    ``test`` measures; ``trusted`` is the little clean data that a defender holds. ``skipped`` of
    each part lists what was left out of the whole data set.
    """

    train: Clips
    validation: Clips
    test: Clips
    trusted: Clips

    @staticmethod
    def of(clips: Clips) -> "Splits":
        """The parts as the clips' own ``split`` says; raises ``ManifestError`` if one is empty."""
        return Splits(*(clips.split(s) for s in SPLITS))

    @staticmethod
    def drawn(clips: Clips, seed: int) -> "Splits":
        """The parts as the clips' own ``split`` says, or drawn by ``seed`` where not all are there.

        Of each class a fifth tests, a tenth validates, and half as many are trusted; speakers are
        not kept apart. Raises ``ManifestError`` for a class with fewer than 20 clips.
        """
        if {clip.split for clip in clips.items} >= set(SPLITS):
            return Splits.of(clips)
        rng = np.random.default_rng(seed)
        parts: dict[str, list[int]] = {name: [] for name in SPLITS}
        for k, label in enumerate(clips.classes):
            members = rng.permutation(np.flatnonzero(clips.labels == k))
            if len(members) < FEWEST_DRAWN:
                raise ManifestError(
                    f"class {label!r} has {len(members)} clips and drawing splits needs "
                    f"{FEWEST_DRAWN}; bring more, or a manifest with the splits {', '.join(SPLITS)}"
                )
            test, validation, trusted = (len(members) // share for share in (5, 10, 20))
            ends = np.cumsum([test, validation, trusted])
            for name, some in zip(
                ("test", "validation", "trusted", "train"), np.split(members, ends), strict=True
            ):
                parts[name] += some.tolist()
        return Splits(*(clips.subset(np.sort(parts[name])) for name in SPLITS))


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set as a component: its fields say where it lies and which view of it is meant."""

    name: ClassVar[str]

    @abstractmethod
    def load(self, cache: Cache | None = None) -> Splits:
        """Read the data set; ``cache`` is where one that is made, not read, is kept."""


def set_apart(manifest: Manifest, seed: int, per_class: int = TRUSTED_PER_CLASS) -> Manifest:
    """Move ``per_class`` clips of every class, drawn by ``seed``, from validation to trusted.

    Where a class has under twice as many, half of its validation clips move.
    """
    rng = np.random.default_rng(seed)
    held = [row for row in manifest.rows if row.split == "validation"]
    drawn: set[int] = set()
    for label in sorted({row.label for row in held}):
        own = [row for row in held if row.label == label]
        drawn |= {id(own[i]) for i in rng.permutation(len(own))[: min(per_class, len(own) // 2)]}
    rows = (replace(r, split="trusted") if id(r) in drawn else r for r in manifest.rows)
    return replace(manifest, rows=tuple(rows))


def labelled(rows: Iterable[Row], labels: Iterable[str], splits: Iterable[str]) -> tuple[Row, ...]:
    """The rows under other labels and splits."""
    triples = zip(rows, labels, splits, strict=True)
    return tuple(replace(row, label=label, split=split) for row, label, split in triples)
