"""The red team as a gymnasium environment: one poisoning is one step, and one episode.

So it is a contextual bandit (discount 0): the observation is the context (the watchers in view,
what they last said, the budget left, the victim's network, the size of the data), the action a
tuple of bins, the reward that of ``outcomes.reward`` at the highest stage that the attack reached.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from otoscope.errors import MissingExtra, SpecError
from otoscope.redteam.arena import Arena
from otoscope.redteam.campaign import Budget, Campaign
from otoscope.redteam.context import LENGTH, Context
from otoscope.redteam.outcomes import Access

try:
    import gymnasium
except ImportError:
    raise MissingExtra("gymnasium", "redteam", "the environment of the red team") from None

Observation = np.ndarray


class PoisoningEnv(gymnasium.Env[Observation, np.ndarray]):
    """Attacks on one of ``arenas``, drawn anew at every reset.

    Each arena has a campaign of its own within ``budget``, and a new one when that is spent.
    ``info`` holds the ``Trial`` and the arena's number. All arenas must have the same families, or
    ``SpecError`` is raised.
    """

    def __init__(
        self, arenas: Sequence[Arena], budget: Budget | None = None, access: Access = "scores"
    ) -> None:
        if len({arena.space.sizes for arena in arenas}) != 1:
            raise SpecError("expected one or more arenas with the same families")
        self.arenas, self.budget, self.access = tuple(arenas), budget or Budget(), access
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (LENGTH,), np.float32)
        self.action_space = gymnasium.spaces.MultiDiscrete(np.array(arenas[0].space.sizes))
        self.campaigns = [self._begun(arena) for arena in arenas]
        self.at = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw an arena; the observation is its context. A seed begins all campaigns anew."""
        super().reset(seed=seed)
        if seed is not None:
            self.campaigns = [self._begun(arena) for arena in self.arenas]
        self.at = int(self.np_random.integers(len(self.arenas)))
        if not self.campaigns[self.at].left:
            self.campaigns[self.at] = self._begun(self.arenas[self.at])
        return self._observed(), {"arena": self.at}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out the bins; the episode is over."""
        trial = self.campaigns[self.at].play(np.asarray(action).tolist())
        return self._observed(), trial.reward, True, False, {"arena": self.at, "trial": trial}

    def _observed(self) -> Observation:
        campaign = self.campaigns[self.at]
        return Context.of(campaign).observed(campaign.trials)

    def _begun(self, arena: Arena) -> Campaign:
        return Campaign(arena, self.budget, self.access)
