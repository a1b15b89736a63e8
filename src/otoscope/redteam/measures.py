"""Measures of a search, as pure functions of arrays. Larger is better for the attacker."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import pdist

from otoscope.errors import SpecError
from otoscope.metrics import wilson_interval
from otoscope.redteam.outcomes import Bounds, Outcome
from otoscope.redteam.strategy import Trial


@dataclass(frozen=True)
class Evasion:
    """How many attacks worked, and how many of these every watcher missed.

    ``interval`` is Wilson's of ``share``, at 95 %, (0, 1) where none worked.
    """

    worked: int
    evaded: int

    @property
    def share(self) -> float:
        """Share of the attacks that worked; NaN where none did."""
        return self.evaded / self.worked if self.worked else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share."""
        return wilson_interval(self.evaded, self.worked)


def evasion(outcomes: Sequence[Outcome | None], watchers: Sequence[str], bounds: Bounds) -> Evasion:
    """Of the outcomes on which all ``watchers`` have looked: what worked and what evaded."""
    seen = [o for o in outcomes if o is not None and set(watchers) <= set(o.suspicion)]
    return Evasion(
        sum(o.works(bounds) for o in seen), sum(o.evades(watchers, bounds) for o in seen)
    )


def best_so_far(trials: Sequence[Trial]) -> Float[np.ndarray, "queries"]:
    """The degradation curve: after each query, the highest reward until then."""
    return np.maximum.accumulate([trial.reward for trial in trials])


def quartiles(curves: Sequence[Float[np.ndarray, "queries"]]) -> Float[np.ndarray, "3 queries"]:
    """Lower quartile, median and upper quartile over searches, query by query.

    Raises ``SpecError`` unless all curves are equally long.
    """
    if len({len(curve) for curve in curves}) != 1:
        raise SpecError(f"expected curves of one length, got {[len(c) for c in curves]}")
    return np.asarray(np.quantile(np.stack(curves), [0.25, 0.5, 0.75], axis=0))


@dataclass(frozen=True)
class Point:
    """One point of a security curve: attacks between two edges, and the share that was caught."""

    low: float
    high: float
    attacks: int
    caught: float
    interval: tuple[float, float]


def security_curve(
    strength: Float[np.ndarray, "attacks"],
    caught: Bool[np.ndarray, "attacks"],
    edges: Sequence[float],
) -> list[Point]:
    """Detection against the attack's strength (its poison rate, or its SNR).

    One point for each pair of neighbouring ``edges``, the lower one included, and none where there
    is no attack. The intervals are Wilson's at 95 %.
    """
    points = []
    for low, high in itertools.pairwise(edges):
        inside = (strength >= low) & (strength < high)
        count, hits = int(inside.sum()), int(caught[inside].sum())
        if count:
            points.append(Point(low, high, count, hits / count, wilson_interval(hits, count)))
    return points


def pareto_front(points: Float[np.ndarray, "points goals"]) -> Bool[np.ndarray, "points"]:
    """Which points no other one beats in one goal without losing in another (all maximised)."""
    at_least = (points[:, None] >= points[None]).all(axis=2)
    above = (points[:, None] > points[None]).any(axis=2)
    return np.asarray(~(at_least & above).any(axis=0))


def hypervolume(
    points: Float[np.ndarray, "points goals"], reference: Float[np.ndarray, "goals"]
) -> float:
    """The volume between ``reference`` and the points that lie above it in every goal.

    Exact, by slicing along the last goal (While et al., *A Faster Algorithm for Calculating
    Hypervolume*, 2006); meant for up to four goals.
    """
    inside = points[(points > reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if points.shape[1] == 1:
        return float(inside.max() - reference[0])
    inside = inside[np.argsort(-inside[:, -1])]
    floors = np.append(inside[1:, -1], reference[-1])
    return sum(
        hypervolume(inside[: rank + 1, :-1], reference[:-1]) * float(height)
        for rank, height in enumerate(inside[:, -1] - floors)
        if height > 0
    )


def qd_score(elites: Mapping[tuple[int, ...], float], worst: float) -> float:
    """The quality-diversity score: the sum over filled cells of the elite's value above ``worst``.

    Pugh, Soros and Stanley, *Quality Diversity* (2016); ``worst`` is the lowest possible value, so
    that a filled cell never counts against the archive.
    """
    return float(sum(value - worst for value in elites.values()))


def evenness(counts: Sequence[int]) -> float:
    """Pielou's evenness of how attacks are spread over kinds: entropy over its highest value.

    ``counts`` are the attacks of each kind that occurs; 1 is even. NaN with fewer than two kinds.
    """
    shares = np.array([count for count in counts if count > 0], dtype=float)
    if len(shares) < 2:
        return float("nan")
    shares /= shares.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(shares)))


def mean_pairwise_distance(features: Float[np.ndarray, "attacks values"]) -> float:
    """The mean Euclidean distance between two attacks; NaN with fewer than two."""
    return float(pdist(features).mean()) if len(features) > 1 else float("nan")


@dataclass(frozen=True)
class Comparison:
    """One strategy against another over the same seeds.

    ``difference`` is the mean of first - second; ``p_value`` two-sided, of the exact sign-flip
    test, at least 2 / 2^seeds.
    """

    difference: float
    wins: int
    losses: int
    p_value: float


def paired(first: Float[np.ndarray, "seeds"], second: Float[np.ndarray, "seeds"]) -> Comparison:
    """Compare two strategies seed by seed.

    Under the null the sign of every difference is a coin's; all 2^seeds assignments are tried
    (Fisher's randomisation test; Good, *Permutation Tests*). Five seeds can reach 0.0625, no less.
    Raises ``SpecError`` for unequal, no, or more than 20 seeds.
    """
    if len(first) != len(second) or not 1 <= len(first) <= 20:
        raise SpecError(f"expected 1 to 20 seeds each, got {len(first)} and {len(second)}")
    apart = np.asarray(first, float) - np.asarray(second, float)
    signs = np.array(list(itertools.product([1, -1], repeat=len(apart))))
    means = np.abs(signs @ apart)
    return Comparison(
        difference=float(apart.mean()),
        wins=int((apart > 0).sum()),
        losses=int((apart < 0).sum()),
        p_value=float(np.mean(means >= abs(apart.sum()) - 1e-12)),
    )
