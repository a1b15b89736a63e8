"""Measures, as pure functions of arrays. Scores: higher means more suspicious."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from otoscope.errors import SpecError


def accuracy(predicted: Int[np.ndarray, "clips"], labels: Int[np.ndarray, "clips"]) -> float:
    """Share of clips whose predicted class is their label; NaN without clips."""
    return float(np.mean(predicted == labels)) if len(labels) else float("nan")


def attack_success_rate(
    predicted: Int[np.ndarray, "clips"],
    goal: Int[np.ndarray, "clips"],
    attackable: Bool[np.ndarray, "clips"],
) -> float:
    """Share of attackable triggered clips that the model gives the attacker's class.

    ``attackable`` leaves out every clip whose true label already is its goal, so a model that
    merely recognises the target class gains nothing. NaN when no clip is attackable.
    """
    return accuracy(predicted[attackable], goal[attackable])


def auroc(scores: Float[np.ndarray, "clips"], positive: Bool[np.ndarray, "clips"]) -> float:
    """Area under the ROC curve (Mann-Whitney U, ties count half); NaN with one kind of clip."""
    from scipy.stats import rankdata

    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(rankdata(scores)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def tpr_at_fpr(
    scores: Float[np.ndarray, "clips"], positive: Bool[np.ndarray, "clips"], fpr: float = 0.01
) -> float:
    """Highest true-positive rate of any threshold whose false-positive rate is at most ``fpr``.

    Flagged means score > threshold, so ties between a clean and a poisoned clip count against the
    detector. NaN with one kind of clip.
    """
    if not 0 <= fpr <= 1:
        raise SpecError(f"expected a false-positive rate between 0 and 1, got {fpr}")
    clean = np.sort(scores[~positive])
    if not len(clean) or not positive.any():
        return float("nan")
    allowed = int(fpr * len(clean) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    threshold = clean[len(clean) - 1 - allowed] if allowed < len(clean) else -np.inf
    return float(np.mean(scores[positive] > threshold))


def wilson_interval(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion; (0, 1) without trials."""
    from scipy.stats import norm

    if not 0 <= successes <= total:
        raise SpecError(f"expected between 0 and {total} successes, got {successes}")
    _require_level(level)
    if total == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + level / 2))
    share, spread = successes / total, 1 + z * z / total
    centre = share + z * z / (2 * total)
    half = z * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low, high = (centre - half) / spread, (centre + half) / spread
    # at 0 and 1 rounding would leave the share itself outside
    return max(0.0, min(share, float(low))), min(1.0, max(share, float(high)))


def bootstrap_interval(
    values: Float[np.ndarray, "n"],
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    seed: int,
    level: float = 0.95,
    rounds: int = 2000,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent values; NaN without values."""
    _require_level(level)
    values = np.asarray(values, dtype=float)
    if not len(values):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(values), size=(rounds, len(values)))
    results = np.array([statistic(values[draw]) for draw in draws])
    low, high = np.quantile(results, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise SpecError(f"expected a level between 0 and 1, got {level}")
