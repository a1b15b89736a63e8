"""Covariance matrix adaptation: one Gaussian that moves towards what paid."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from otoscope.errors import MissingExtra
from otoscope.redteam.space import Space
from otoscope.redteam.strategy import Bins, Strategy, Trial


class CovarianceAdaptation(Strategy):
    """CMA-ES (Hansen, *The CMA Evolution Strategy: A Tutorial*, 1604.00772) by the package ``cma``.

    It searches the unit cube, one coordinate an axis, cut into the axis's bins; it starts in the
    middle with ``step``. Axes that are not ordered (family, label shift, selection) are treated as
    if they were. The state grows with the history, so one object serves one search; trials that it
    did not propose are passed over.

    Raises ``MissingExtra`` without ``cma``.
    """

    name: ClassVar[str] = "cma-es"

    def __init__(self, space: Space, step: float = 0.3) -> None:
        try:
            import cma
        except ImportError:
            raise MissingExtra("cma", "redteam", "CMA-ES") from None
        self.space, self.step, self._cma = space, step, cma
        self._search: Any = None
        self._asked: list[np.ndarray] = []
        self._first = 0

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        if self._search is None:
            self._search = self._started(rng)
        if len(self._asked) == self._search.popsize:
            rewards = [one.reward for one in history[self._first : self._first + len(self._asked)]]
            self._search.tell(self._asked, [-value for value in rewards])
            self._asked = []
        if not self._asked:
            self._first, self._drawn = len(history), self._search.ask()
        point = self._drawn[len(self._asked)]
        self._asked.append(point)
        sizes = np.array(self.space.sizes)
        return self.space.clamp(np.floor(np.clip(point, 0, 1 - 1e-9) * sizes).astype(int).tolist())

    def _started(self, rng: np.random.Generator) -> Any:
        options = {
            "bounds": [0, 1],
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # the package would seed numpy's global generator
            "verbose": -9,
        }
        return self._cma.CMAEvolutionStrategy([0.5] * len(self.space.sizes), self.step, options)
