"""What became of an attack, when it counts as an evasion, and what it is worth to the attacker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from otoscope.redteam.strategy import Bins, Trial

Access = Literal["blind", "hard-label", "scores", "white-box"]
ACCESS: tuple[Access, ...] = ("blind", "hard-label", "scores", "white-box")
"""What the attacker sees of the detectors: nothing, caught or not, or how suspicious they are;
with "white-box" also the gradient of what they look for, since it trains the model."""

Stage = Literal["screened", "retrained", "decided"]

INFEASIBLE = -1.0
"""The reward of bins that cannot be carried out on the data."""


@dataclass(frozen=True)
class Bounds:
    """What an attack has to reach: success, at most so much lost accuracy, at most so audible.

    ``spectral_distance_db`` bounds the median log-spectral distance between clips with and without
    the trigger.
    """

    success: float = 0.8
    accuracy_drop: float = 0.02
    spectral_distance_db: float = 12.0


@dataclass(frozen=True)
class Outcome:
    """One attack, measured.

    ``suspicion`` holds each watcher's, caught from 1 on; it is empty where none has looked.
    ``seeds`` are those of the trainings behind the figures.
    """

    success: float
    accuracy: float
    accuracy_drop: float
    spectral_distance_db: float
    snr_db: float
    stage: Stage
    seeds: tuple[int, ...] = ()
    suspicion: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def works(self, bounds: Bounds) -> bool:
        """Whether success, accuracy and stealth are within bounds."""
        return (
            self.success >= bounds.success
            and self.accuracy_drop <= bounds.accuracy_drop
            and self.spectral_distance_db <= bounds.spectral_distance_db
        )

    def evades(self, watchers: Sequence[str], bounds: Bounds) -> bool:
        """Whether it works and every one of ``watchers`` has looked and missed it."""
        return self.works(bounds) and all(self.suspicion.get(name, 1.0) < 1 for name in watchers)


def over_seeds(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of several trainings: means, and each watcher's median suspicion.

    So an attack is caught where it was caught in most of them. All must have the same watchers.
    """
    names = outcomes[0].suspicion
    return Outcome(
        success=float(np.mean([o.success for o in outcomes])),
        accuracy=float(np.mean([o.accuracy for o in outcomes])),
        accuracy_drop=float(np.mean([o.accuracy_drop for o in outcomes])),
        spectral_distance_db=float(np.mean([o.spectral_distance_db for o in outcomes])),
        snr_db=float(np.mean([o.snr_db for o in outcomes])),
        stage="decided",
        seeds=tuple(seed for o in outcomes for seed in o.seeds),
        suspicion={n: float(np.median([o.suspicion[n] for o in outcomes])) for n in names},
        seconds=sum(o.seconds for o in outcomes),
    )


def reward(outcome: Outcome, watchers: Sequence[str], bounds: Bounds, access: Access) -> float:
    """What an outcome is worth: success x (1 + evasion) - 0.25 audible - lost accuracy.

    ``evasion`` is, with hard labels, the share of the watchers that missed it; with scores, the
    mean of 1 - suspicion, at least 0; blind, or where a watcher has not looked, 0. ``audible`` is
    the spectral distance over its bound, at most 2. Accuracy counts once for every
    ``accuracy_drop`` that is lost beyond the bound, at most 1; not in a warm start, which loses
    some whatever the attack.
    """
    kept = outcome.stage == "screened"
    lost = 0.0 if kept else max(0.0, outcome.accuracy_drop / bounds.accuracy_drop - 1)
    audible = min(2.0, outcome.spectral_distance_db / bounds.spectral_distance_db)
    evasion = unseen([outcome.suspicion.get(name, 1.0) for name in watchers], access)
    return outcome.success * (1 + evasion) - 0.25 * audible - min(1.0, lost)


def unseen(suspicion: Sequence[float], access: Access) -> float:
    """How well watchers of these suspicions are evaded, as ``access`` lets an attacker see it."""
    if access == "blind" or not suspicion:
        return 0.0
    if access == "hard-label":
        return float(np.mean([s < 1 for s in suspicion]))
    return float(np.mean([max(0.0, 1 - s) for s in suspicion]))


def trial(
    bins: Bins, outcome: Outcome | None, watchers: Sequence[str], bounds: Bounds, access: Access
) -> Trial:
    """What a strategy is told of an outcome; None stands for an attack that cannot be carried out.

    Blind strategies are told nothing that a detector said.
    """
    if outcome is None:
        return Trial(bins, INFEASIBLE, 0.0, 0.0, False, {"infeasible": 1.0})
    looked = [name for name in watchers if name in outcome.suspicion]
    detail = {
        "accuracy_drop": outcome.accuracy_drop,
        "spectral_distance_db": outcome.spectral_distance_db,
        "retrained": float(outcome.stage != "screened"),
    }
    if access == "hard-label":
        detail |= {f"caught by {name}": float(outcome.suspicion[name] >= 1) for name in looked}
    if access in ("scores", "white-box"):
        detail |= {f"suspicion of {name}": outcome.suspicion[name] for name in looked}
    return Trial(
        bins,
        reward(outcome, watchers, bounds, access),
        outcome.success,
        outcome.accuracy,
        access != "blind" and outcome.evades(watchers, bounds),
        detail,
    )
