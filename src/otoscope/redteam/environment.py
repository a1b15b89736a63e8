"""The red team as gymnasium environments.

``PoisoningEnv``: one poisoning is one step, and one episode. So it is a contextual bandit (discount
0): the observation is the context (the watchers in view, what they last said, the budget left, the
victim's network, the size of the data), the action a tuple of bins, the reward that of
``outcomes.reward`` at the highest stage that the attack reached.

``ScheduleEnv``: an episode is a schedule of poisonings of one training set, each planted among the
clips that those before it have left.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from otoscope.errors import MissingExtra, SpecError
from otoscope.redteam.arena import IMPOSSIBLE, Arena
from otoscope.redteam.campaign import PROMISING, Budget, Campaign, require_access
from otoscope.redteam.context import LENGTH, Context
from otoscope.redteam.outcomes import Access, Outcome, trial
from otoscope.redteam.strategy import Bins, Trial
from otoscope.registry import require

try:
    import gymnasium
except ImportError:
    raise MissingExtra("gymnasium", "redteam", "the environment of the red team") from None

Observation = np.ndarray


class _OnArenas(gymnasium.Env[Observation, np.ndarray]):
    """The spaces of environments on ``arenas``, one of which is drawn anew at every reset.

    Raises ``SpecError`` unless all arenas have the same action space and allow the access.
    """

    def __init__(self, arenas: Sequence[Arena], access: Access) -> None:
        if len({arena.space.sizes for arena in arenas}) != 1:
            raise SpecError("expected one or more arenas with the same action space")
        for arena in arenas:
            require_access(arena, access)
        self.arenas, self.access, self.at = tuple(arenas), access, 0
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (LENGTH,), np.float32)
        self.action_space = gymnasium.spaces.MultiDiscrete(np.array(arenas[0].space.sizes))


class PoisoningEnv(_OnArenas):
    """Attacks on one of ``arenas``, drawn anew at every reset.

    Each arena has a campaign of its own within ``budget``, and a new one when that is spent.
    ``info`` holds the ``Trial`` and the arena's number.
    """

    def __init__(
        self, arenas: Sequence[Arena], budget: Budget | None = None, access: Access = "scores"
    ) -> None:
        super().__init__(arenas, access)
        self.budget = budget or Budget()
        self.campaigns = [self._begun(arena) for arena in arenas]

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


class ScheduleEnv(_OnArenas):
    """Schedules of ``length`` poisonings of the training set of one of ``arenas``.

    A step plants one more attack; its reward is what the schedule is worth with it (``outcomes``)
    less what it was worth before, so that an episode's rewards sum to the worth of the whole
    (discount 1). All steps but the last are screened; the last is retrained, and the watchers in
    view look, unless its success is below ``promising``. By what clips are chosen, and how strongly
    a training hides them, is one for the whole schedule: the last step's, and the largest. A step
    that cannot be carried out is left out and costs a reward of ``INFEASIBLE``. The observation is
    the context, with the share of the steps left in the place of the budget's. ``info`` holds the
    arena's number, the schedule so far and its ``Outcome``, None before the first step.
    """

    def __init__(
        self,
        arenas: Sequence[Arena],
        length: int = 3,
        access: Access = "scores",
        promising: float = PROMISING,
    ) -> None:
        super().__init__(arenas, access)
        require(length >= 1, f"a schedule needs at least one step, got {length}")
        self.length, self.promising = length, promising
        self.schedule: list[Bins] = []
        self.trials: list[Trial] = []
        self.worth = 0.0
        self.outcome: Outcome | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw an arena and begin an empty schedule."""
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(len(self.arenas)))
        self.schedule, self.trials, self.worth, self.outcome = [], [], 0.0, None
        return self._observed(), self._told()

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Plant one more attack; the episode is over when the schedule is full."""
        arena = self.arenas[self.at]
        bins = arena.space.clamp(np.asarray(action).tolist())
        last = len(self.trials) + 1 == self.length
        outcome = self._tried(arena, bins, last)
        told = trial(bins, outcome, arena.in_view, arena.bounds, self.access)
        self.trials.append(told)
        if outcome is None:
            return self._observed(), told.reward, last, False, self._told()
        gained = told.reward - self.worth
        self.worth, self.outcome, self.schedule = told.reward, outcome, [*self.schedule, bins]
        return self._observed(), gained, last, False, self._told()

    def _tried(self, arena: Arena, bins: Bins, last: bool) -> Outcome | None:
        try:
            cheap = arena.screen(bins, self.schedule)
            if not last or cheap.success < self.promising:
                return cheap
            return arena.retrain(bins, arena.first_seed, arena.in_view, self.schedule)
        except IMPOSSIBLE:
            return None

    def _told(self) -> dict[str, Any]:
        return {"arena": self.at, "schedule": tuple(self.schedule), "outcome": self.outcome}

    def _observed(self) -> Observation:
        return Context.on(self.arenas[self.at], self.length).observed(self.trials)
