"""MAP-Elites: not one best attack, but the best of every kind."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from otoscope.redteam.space import FAMILY, Space
from otoscope.redteam.strategy import Bins, Strategy, Trial

Cell = tuple[int, int]

DISTANCES_DB = (1.0, 2.0, 4.0, 8.0, 12.0)
"""Edges between cells, of the spectral distance: from hidden to plain."""


def cell(trial: Trial) -> Cell:
    """An attack's kind: its trigger family and how audible it is."""
    distance = trial.detail["spectral_distance_db"]
    return trial.bins[FAMILY], int(np.searchsorted(DISTANCES_DB, distance))


def archive(history: Sequence[Trial]) -> Mapping[Cell, Trial]:
    """The best trial of every cell; the earlier one where two are equal."""
    best: dict[Cell, Trial] = {}
    for one in history:
        if "spectral_distance_db" in one.detail:
            at = cell(one)
            if at not in best or one.reward > best[at].reward:
                best[at] = one
    return best


class MapElites(Strategy):
    """Mouret and Clune, *Illuminating Search Spaces by Mapping Elites* (1504.04909).

    After ``startup`` random proposals, a parent is drawn from the archive's elites and mutated:
    every axis changes with ``mutation``, an ordered one by a geometric step, another one to any
    bin. With ``crossing``, axes come first from a second elite of the same family, each with one
    half. With ``fresh``, the proposal is random after all.
    """

    name: ClassVar[str] = "map-elites"

    def __init__(
        self,
        space: Space,
        startup: int = 20,
        mutation: float = 0.2,
        crossing: float = 0.3,
        fresh: float = 0.1,
    ) -> None:
        self.space, self.startup = space, startup
        self.mutation, self.crossing, self.fresh = mutation, crossing, fresh

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        elites = [one.bins for one in archive(history).values()]
        if not elites or len(history) < self.startup or rng.random() < self.fresh:
            return self.space.draw(rng)
        parent = elites[rng.integers(len(elites))]
        kin = [bins for bins in elites if bins[FAMILY] == parent[FAMILY] and bins != parent]
        child = list(parent)
        if kin and rng.random() < self.crossing:
            other = kin[rng.integers(len(kin))]
            child = [pair[rng.integers(2)] for pair in zip(parent, other, strict=True)]
        return self.space.clamp(self._mutated(child, rng))

    def _mutated(self, bins: list[int], rng: np.random.Generator) -> list[int]:
        """At least one of the axes that count is changed."""
        used = self.space.common + len(self.space.family(bins).parameters)
        changed = rng.random(used) < self.mutation
        changed[rng.integers(used)] = True
        for at in np.flatnonzero(changed).tolist()[::-1]:  # the family last: slots are its own
            axis = self.space.dimensions[at]
            if axis.ordered:
                step = int(rng.geometric(0.5)) * self.space.stride(bins, at)
                bins[at] += step if rng.random() < 0.5 else -step
            else:
                bins[at] = int(rng.integers(axis.size))
        return bins
