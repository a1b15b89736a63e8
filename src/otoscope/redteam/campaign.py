"""One search: what was tried, at which stage, within a budget.

Successive halving, asynchronous as in Li et al., *A System for Massively Parallel Hyperparameter
Tuning* (ASHA, 1810.05934): every attack is screened by a warm start; of those whose success is
among the best third so far, some are retrained at once, with the detectors in view; at the end the
most promising of these are decided, over several other seeds and with all watchers. Deviations:
screening asks about success only (see ``warm_start``); promotions are spread evenly over the
search; the last stage waits for its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from otoscope.progress import track
from otoscope.redteam.arena import IMPOSSIBLE, Arena
from otoscope.redteam.outcomes import Access, Outcome, trial
from otoscope.redteam.strategy import Bins, Strategy, Trial
from otoscope.registry import require

BEST = 1 / 3
PROMISING = 0.5
"""Below this success in the warm start no attack is retrained."""


@dataclass(frozen=True)
class Budget:
    """How many attacks are screened, retrained once, and decided over ``seeds`` trainings."""

    screened: int = 200
    retrained: int = 20
    decided: int = 3
    seeds: int = 3

    def __post_init__(self) -> None:
        require(self.screened >= 1, f"budget.screened must be at least 1, got {self.screened}")
        require(
            self.screened >= self.retrained >= self.decided >= 0,
            "budget: expected screened >= retrained >= decided >= 0, got "
            f"{self.screened}, {self.retrained}, {self.decided}",
        )
        require(self.seeds >= 1, f"budget.seeds must be at least 1, got {self.seeds}")


@dataclass(eq=False)
class Campaign:
    """The state of one search on one arena; ``play`` is one query of the attacker.

    ``trials`` is what the strategy is told, in order; ``outcomes`` what really became of each
    distinct attack, at its highest stage; None for one that cannot be carried out.
    """

    arena: Arena
    budget: Budget
    access: Access = "scores"
    trials: list[Trial] = field(default_factory=list)
    outcomes: dict[Bins, Outcome | None] = field(default_factory=dict)
    screened: dict[Bins, Outcome] = field(default_factory=dict)
    retrained: int = 0

    def __post_init__(self) -> None:
        require_access(self.arena, self.access)

    @property
    def left(self) -> int:
        """How many queries the attacker has left."""
        return self.budget.screened - len(self.trials)

    def play(self, bins: Sequence[int]) -> Trial:
        """Screen an attack, retrain it if it is promising, and say what the attacker sees.

        The same attack a second time costs a query and tells the same.
        """
        at = self.arena.space.clamp(bins)
        if at not in self.outcomes:
            self.outcomes[at] = self._tried(at)
        told = trial(at, self.outcomes[at], self.arena.in_view, self.arena.bounds, self.access)
        self.trials.append(told)
        return told

    def _tried(self, bins: Bins) -> Outcome | None:
        try:
            cheap = self.arena.screen(bins)
            self.screened[bins] = cheap
            if not self._promising(cheap):
                return cheap
            self.retrained += 1
            return self.arena.retrain(bins, self.arena.first_seed, self.arena.in_view)
        except IMPOSSIBLE:
            return None

    def _promising(self, cheap: Outcome) -> bool:
        due = self.budget.retrained * (len(self.trials) + 1) / self.budget.screened
        if self.retrained >= max(1.0, due) or self.retrained >= self.budget.retrained:
            return False
        if cheap.spectral_distance_db > self.arena.bounds.spectral_distance_db:
            return False
        bar = float(np.quantile([o.success for o in self.screened.values()], 1 - BEST))
        return cheap.success >= max(bar, PROMISING)

    @property
    def ranked(self) -> list[Bins]:
        """The attacks that were retrained once, best first.

        Those that evaded all watchers in view come first, then those of the highest reward.
        """
        done = [(b, o) for b, o in self.outcomes.items() if o and o.stage == "retrained"]
        view, bounds = self.arena.in_view, self.arena.bounds

        def merit(one: tuple[Bins, Outcome]) -> tuple[bool, float]:
            told = trial(one[0], one[1], view, bounds, self.access)
            return told.evaded, told.reward

        return [bins for bins, _ in sorted(done, key=merit, reverse=True)]

    @property
    def deciding_seeds(self) -> range:
        """Others than the one by which attacks were chosen, or luck would count twice."""
        first = self.arena.first_seed + 1
        return range(first, first + self.budget.seeds)

    def decide(self) -> dict[Bins, Outcome]:
        """Retrain the most promising attacks by several seeds, with all watchers; best first."""
        found, chosen = {}, self.ranked[: self.budget.decided]
        for bins in track(chosen, "deciding", len(chosen)):
            try:
                self.outcomes[bins] = found[bins] = self.arena.decide(bins, self.deciding_seeds)
            except IMPOSSIBLE:  # with another draw of clips
                self.outcomes[bins] = None
        return found


def require_access(arena: Arena, access: Access) -> None:
    """Raise ``SpecError`` for a white-box attacker on an arena where it does not train."""
    require(
        arena.hides or access != "white-box",
        "a white-box attacker trains the model: its arena needs hides=True",
    )


def search(
    campaign: Campaign,
    strategy: Strategy,
    rng: np.random.Generator,
    known: Sequence[Bins] = (),
) -> Campaign:
    """Let a strategy spend the campaign's queries, then decide; returns the campaign.

    ``known`` attacks, of other searches, are played first and cost a query each: an attacker who
    starts from what worked before.
    """
    for number in track(range(campaign.left), f"searching ({strategy.name})", campaign.left):
        given = number < len(known)
        campaign.play(known[number] if given else strategy.ask(campaign.trials, rng))
    campaign.decide()
    return campaign
