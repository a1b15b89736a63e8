"""What an attacker knows before the first trial, and how a policy sees it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from otoscope.networks import NETWORKS
from otoscope.redteam.arena import Arena
from otoscope.redteam.campaign import Campaign
from otoscope.redteam.strategy import Trial
from otoscope.redteam.suite import WATCHERS


@dataclass(frozen=True)
class Context:
    """The watchers in view, the victim's network, the data set's size, the budget in queries."""

    in_view: tuple[str, ...]
    network: str
    classes: int
    clips: int
    queries: int

    @staticmethod
    def of(campaign: Campaign) -> "Context":
        """The context of a campaign."""
        return Context.on(campaign.arena, campaign.budget.screened)

    @staticmethod
    def on(arena: Arena, queries: int) -> "Context":
        """The context of so many queries on an arena."""
        clips = arena.splits.train
        return Context(arena.in_view, arena.network.name, len(clips.classes), len(clips), queries)

    def observed(self, history: Sequence[Trial]) -> Float32[np.ndarray, "values"]:
        """The context and the state of a search as numbers between 0 and 1.

        For each of ``suite.WATCHERS``: whether it is in view, and what is known of its last look
        (half its suspicion, at most 1; or whether it caught; 0 before the first look and for the
        blind). Then the share of the budget that is left, the network, one value for each of
        ``NETWORKS``, and the numbers of classes and clips on a logarithmic scale.
        """
        seen = [_last(history, name) for name in WATCHERS]
        return np.array(
            [
                *(float(name in self.in_view) for name in WATCHERS),
                *seen,
                max(0.0, 1 - len(history) / self.queries),
                *(float(name == self.network) for name in NETWORKS),
                min(1.0, math.log10(self.classes) / 4),
                min(1.0, math.log10(self.clips) / 6),
            ],
            dtype=np.float32,
        )


LENGTH = 2 * len(WATCHERS) + len(NETWORKS) + 3
"""How many numbers ``Context.observed`` gives."""


def _last(history: Sequence[Trial], name: str) -> float:
    for one in reversed(history):
        if f"suspicion of {name}" in one.detail:
            return min(1.0, one.detail[f"suspicion of {name}"] / 2)
        if f"caught by {name}" in one.detail:
            return one.detail[f"caught by {name}"]
    return 0.0
