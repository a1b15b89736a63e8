"""Strategies that learn nothing: what every other one has to beat."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from otoscope.catalogue import CATALOGUE
from otoscope.errors import SpecError
from otoscope.redteam.space import Space
from otoscope.redteam.strategy import Bins, Strategy, Trial


class RandomSearch(Strategy):
    """Uniform draws from the space."""

    name: ClassVar[str] = "random"

    def __init__(self, space: Space) -> None:
        self.space = space

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        return self.space.draw(rng)


class FixedCatalogue(Strategy):
    """The published attacks that the space can express, one after the other, then again.

    Raises ``SpecError`` when the space can express none.
    """

    name: ClassVar[str] = "catalogue"

    def __init__(self, space: Space) -> None:
        known = [space.published(entry) for entry in CATALOGUE]
        self.attacks = list(dict.fromkeys(bins for bins in known if bins is not None))
        if not self.attacks:
            raise SpecError("this space can express no published attack; give it more families")

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        return self.attacks[len(history) % len(self.attacks)]
