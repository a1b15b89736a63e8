"""What an attacker's search strategy is: it proposes the next poisoning from what became of the
ones before.

A proposal is a tuple of integer bins, one per dimension of the action space (``space``). A concrete
strategy is given that space, and its own settings, when it is made; one object serves one search,
so it may keep a state of its own beside the history.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

Bins = tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """One poisoning that was tried, and what became of it.

    ``success`` is the attack success rate and ``accuracy`` the benign accuracy, both 0 to 1;
    ``evaded`` says that every detector in view missed it. ``detail`` holds what else the access
    level shows, by name: a detector's score, the perceptibility, the seconds.
    """

    bins: Bins
    reward: float
    success: float
    accuracy: float
    evaded: bool
    detail: dict[str, float] = field(default_factory=dict)


class Strategy(ABC):
    """A way to search."""

    name: ClassVar[str]

    @abstractmethod
    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        """The next bins to try, after ``history``, oldest first.

        ``history`` only grows from call to call. What is random is drawn from ``rng``. Proposals
        outside the space are clamped to it by the caller.
        """
