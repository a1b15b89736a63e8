"""Bayesian search: a tree-structured Parzen estimator."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from otoscope.errors import MissingExtra
from otoscope.redteam.space import Space
from otoscope.redteam.strategy import Bins, Strategy, Trial

if TYPE_CHECKING:
    from optuna import Trial as OptunaTrial
    from optuna.distributions import BaseDistribution


class Bayesian(Strategy):
    """Optuna's TPE (Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, NeurIPS 2011).

    Axes that are not ordered are categorical. A family's slots are parameters of that family only,
    as in a tree, so that what one family teaches says nothing of another. The first ``startup``
    proposals are random. Deviation: the study is rebuilt from the history at every call, so that
    equal histories and generators propose the same.

    Raises ``MissingExtra`` without ``optuna``.
    """

    name: ClassVar[str] = "bayesian"

    def __init__(self, space: Space, startup: int = 10) -> None:
        self.space, self.startup = space, startup
        with _optuna():
            pass

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        with _optuna():
            from optuna import create_study, create_trial
            from optuna.samplers import TPESampler

            sampler = TPESampler(n_startup_trials=self.startup, seed=int(rng.integers(2**31)))
            study = create_study(direction="maximize", sampler=sampler)
            for one in history:
                axes = {self._parameter(one.bins, at): at for at in self._places(one.bins)}
                study.add_trial(
                    create_trial(
                        params={name: one.bins[at] for name, at in axes.items()},
                        distributions={name: self._values(at) for name, at in axes.items()},
                        value=one.reward,
                    )
                )
            asked, bins = study.ask(), [0] * len(self.space.sizes)
            for at in range(self.space.common):
                bins[at] = self._suggested(asked, bins, at)
            for at in self._places(bins)[self.space.common :]:
                bins[at] = self._suggested(asked, bins, at)
        return self.space.clamp(bins)

    def _suggested(self, asked: "OptunaTrial", bins: Sequence[int], at: int) -> int:
        name, axis = self._parameter(bins, at), self.space.dimensions[at]
        if axis.ordered:
            return asked.suggest_int(name, 0, axis.size - 1)
        return int(asked.suggest_categorical(name, range(axis.size)))

    def _places(self, bins: Sequence[int]) -> range:
        """The axes that count for the family of these bins."""
        return range(self.space.common + len(self.space.family(bins).parameters))

    def _parameter(self, bins: Sequence[int], at: int) -> str:
        """An axis's name in the study; a slot's is its family's own."""
        family = f"{self.space.family(bins).name}." if at >= self.space.common else ""
        return family + self.space.dimensions[at].name

    def _values(self, at: int) -> "BaseDistribution":
        from optuna.distributions import CategoricalDistribution, IntDistribution

        axis = self.space.dimensions[at]
        if axis.ordered:
            return IntDistribution(0, axis.size - 1)
        return CategoricalDistribution(range(axis.size))


@contextmanager
def _optuna() -> Iterator[None]:
    """Optuna inside this block, without its talk."""
    try:
        from optuna import logging
    except ImportError:
        raise MissingExtra("optuna", "redteam", "Bayesian search") from None
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
