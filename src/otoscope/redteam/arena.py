"""Where attacks are tried: own data, a network, the detectors that watch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from otoscope.batches import front_end_features
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.errors import ModelMismatch, PoisonError, SpecError, TriggerDoesNotFit
from otoscope.models import TorchModel, activations
from otoscope.networks import CNN, Listener, Network
from otoscope.poisoning import Poisoned, poison_all
from otoscope.redteam.families import FAMILIES
from otoscope.redteam.outcomes import Bounds, Outcome, Stage, over_seeds
from otoscope.redteam.space import Plan, Space
from otoscope.redteam.strategy import Bins
from otoscope.redteam.suite import require_watchers, watch
from otoscope.redteam.warm_start import WarmStart, warm_started
from otoscope.risk import risks
from otoscope.selection import hardness
from otoscope.training import Recipe, TrainingHook, train
from otoscope.training_attacks.hidden_poison import HiddenPoison

IN_VIEW = ("activation-clustering", "spectral-signatures", "gaussian-mixture", "vouching")
"""The detectors that an attacker optimises against, where nothing else is said: the fast ones."""

SCREENED_CLIPS = 180
"""At most so many test clips judge a cheap stage."""

REFUSED = 1.0
"""Every watcher's suspicion of a model at chance on the trusted clips, which an audit refuses."""

IMPOSSIBLE = (PoisonError, SpecError, TriggerDoesNotFit)
"""What an attack raises that cannot be carried out on the data at hand."""


@dataclass(frozen=True, eq=False)
class Arena:
    """The data set, its network and its watchers; ``seed`` decides the target and the draws.

    ``in_view`` are the watchers that the attacker hears of, ``held_out`` those that judge the last
    stage only (see ``suite.WATCHERS``). ``recipe`` is how the victim trains.
    """

    splits: Splits
    network: Network = field(default_factory=CNN)
    seed: int = 0
    in_view: tuple[str, ...] = IN_VIEW
    held_out: tuple[str, ...] = ()
    families: tuple[str, ...] = tuple(FAMILIES)
    bounds: Bounds = field(default_factory=Bounds)
    recipe: Recipe | None = None
    warm_start: WarmStart = field(default_factory=WarmStart)
    hides: bool = False
    cache: Cache | None = None

    def __post_init__(self) -> None:
        require_watchers((*self.in_view, *self.held_out))

    @cached_property
    def space(self) -> Space:
        """The action space on this data set."""
        return Space.of(self.splits.train, self.seed, self.families, hides=self.hides)

    @property
    def first_seed(self) -> int:
        """Of the trainings of attacks; the clean model's is another."""
        return 1 + self.seed * 1000

    @cached_property
    def clean(self) -> TorchModel:
        """The network trained on the data as they are."""
        return self._trained(self.splits.train, self.seed)

    def screen(self, bins: Bins, before: Sequence[Bins] = ()) -> Outcome:
        """The cheap stage: a warm start from the clean model; no detector looks.

        ``before`` are attacks that are planted in the same set before this one. The outcome of
        several has their mean success, and the most audible of them. No training hides anything
        here.
        Raises one of ``IMPOSSIBLE`` when the attacks cannot be carried out.
        """
        started, plans = time.monotonic(), self._plans(bins, before)
        bad = self.poisoned(plans, self.seed)
        model = warm_started(self.clean, self._features, bad, self.warm_start, self.seed)
        return self._measured(plans, model, self._judges, self.seed, "screened", started, {})

    def retrain(
        self, bins: Bins, seed: int, watchers: Sequence[str], before: Sequence[Bins] = ()
    ) -> Outcome:
        """Poison by ``seed``, train from scratch by ``seed``, and let ``watchers`` look.

        Raises one of ``IMPOSSIBLE`` when the attacks cannot be carried out.
        """
        started, plans = time.monotonic(), self._plans(bins, before)
        bad = self.poisoned(plans, seed)
        poison, hiding = bad.mask & ~bad.cover, max(plan.hiding for plan in plans)
        hook = HiddenPoison(poison, hiding) if hiding else None
        model = self._trained(bad.clips, seed, hook)
        try:
            seen = self.watched(watchers, model, bad.clips, poison, seed)
        except ModelMismatch:
            seen = dict.fromkeys(watchers, REFUSED)
        return self._measured(plans, model, self.splits.test, seed, "retrained", started, seen)

    def decide(self, bins: Bins, seeds: Sequence[int]) -> Outcome:
        """The last stage: retraining by every one of ``seeds``, with all watchers."""
        everyone = (*self.in_view, *self.held_out)
        return over_seeds([self.retrain(bins, seed, everyone) for seed in seeds])

    def poisoned(self, plans: Sequence[Plan], seed: int) -> Poisoned:
        """The training set under some plans, planted in their order.

        All clips are chosen as the last plan says.
        """
        preference = self._hardness if plans[-1].selection == "hardest" else None
        attacks = [plan.attack for plan in plans]
        return poison_all(self.splits.train, attacks, seed, preference=preference)

    def _plans(self, bins: Bins, before: Sequence[Bins]) -> list[Plan]:
        return [self.space.decode(one) for one in (*before, bins)]

    def false_alarm(self, clips: Clips, seed: int, watchers: Sequence[str]) -> dict[str, float]:
        """Train on clips without poison by ``seed``; what the watchers find suspicious in that."""
        nothing = np.zeros(len(clips), bool)
        return self.watched(watchers, self._trained(clips, seed), clips, nothing, seed)

    def watched(
        self,
        watchers: Sequence[str],
        model: TorchModel,
        clips: Clips,
        poison: Bool[np.ndarray, "clips"],
        seed: int,
    ) -> dict[str, float]:
        """What each watcher makes of a model and its clips; see ``suite.watch``."""
        known = self.splits.trusted
        return watch(watchers, model, clips, poison, trusted=known, seed=seed, cache=self.cache)

    def _trained(self, clips: Clips, seed: int, hook: TrainingHook | None = None) -> TorchModel:
        return train(
            self.network,
            clips,
            seed=seed,
            validation=self.splits.validation,
            recipe=self.recipe,
            cache=self.cache,
            hook=hook,
        )

    def _measured(
        self,
        plans: Sequence[Plan],
        model: TorchModel,
        judges: Clips,
        seed: int,
        stage: Stage,
        started: float,
        suspicion: dict[str, float],
    ) -> Outcome:
        found = [
            risks(model, judges, plan.attack.trigger, plan.attack.shift, seed) for plan in plans
        ]
        heard = [one.perceptible for one in found]
        return Outcome(
            success=float(np.mean([one.attack_success_rate for one in found])),
            accuracy=found[0].benign_accuracy,
            accuracy_drop=self._accuracy(judges) - found[0].benign_accuracy,
            spectral_distance_db=max(one.log_spectral_distance_db for one in heard),
            snr_db=min(one.snr_db for one in heard),
            stage=stage,
            seeds=(seed,),
            suspicion=suspicion,
            seconds=round(time.monotonic() - started, 3),
        )

    def _accuracy(self, judges: Clips) -> float:
        """The clean model's accuracy on the same clips."""
        seen = activations(self.clean, judges, self.cache)
        return float(np.mean(seen.predicted == judges.labels))

    @cached_property
    def _judges(self) -> Clips:
        per_class = max(1, SCREENED_CLIPS // len(self.splits.test.classes))
        return self.splits.test.per_class(per_class, self.seed)

    @cached_property
    def _hardness(self) -> np.ndarray:
        return hardness(self.clean, self.splits.train, self.cache)

    @cached_property
    def _features(self) -> Tensor:
        listener = self.clean.module
        assert isinstance(listener, Listener)  # what ``train`` makes
        return torch.from_numpy(front_end_features(listener, self.splits.train))
