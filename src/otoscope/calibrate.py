"""From scores to p-values, from p-values to decisions.

A detector's score means nothing by itself. It is compared with what is taken to be clean: the
model's other classes (for a class) or the clips outside the accused classes (for a clip).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float, Int

from otoscope.errors import NotApplicable

MAD_TO_SIGMA = 1.4826
"""Ratio of standard deviation to median absolute deviation of a normal distribution."""

FEWEST_CLASSES = 5
"""Below this, a class has too few others to be compared with."""

FEWEST_REFERENCES = 4
"""Fewer reference models than this say nothing about their spread."""

STRONGEST_SHARE = 0.05
"""The share of the probes, those that tell a class apart best, whose mean is its distance."""

TARGETS_AT_MOST = 3
"""So many target classes of one model do not count as its inflation."""

LEAST_BULK = 0.05

LEAST_LOG_SPREAD = 0.1
"""A few references may agree by chance; their law is never taken to be narrower than this."""

ANY_NETWORK = "any"
"""Where the priors keep what holds for all networks."""

_ROUNDS = 20_000


def anomaly_index(scores: Float[np.ndarray, "classes"]) -> Float[np.ndarray, "classes"]:
    """How many robust standard deviations each score lies above the median of all (signed).

    The anomaly index of Neural Cleanse (Wang et al., S&P 2019, section IV) with its sign kept:
    (score - median) / (1.4826 MAD).
    """
    deviation = scores - np.median(scores)
    spread = MAD_TO_SIGMA * np.median(np.abs(deviation))
    return np.asarray(deviation / max(float(spread), 1e-9 * (1 + float(np.abs(scores).max()))))


def class_outlier_p_values(scores: Float[np.ndarray, "classes"]) -> Float[np.ndarray, "classes"]:
    """For each class, the chance that any class of a clean model stands out as far as it does.

    Null: the K scores are exchangeable draws from one normal distribution of unknown mean and
    spread (hand in logarithms of scores that are positive and skewed). A class stands out by its
    distance above the median in units of Qn (Rousseeuw, Croux 1993), which like the median
    absolute deviation bears nearly half of the classes being bad, and wastes far less of the
    data. The largest distance in ``_ROUNDS`` simulated sets of K scores is the reference, so the
    p-values hold for all classes together (family-wise); the smallest is 1 / (rounds + 1).
    """
    reference = _largest_distances(len(scores))
    beyond = len(reference) - np.searchsorted(reference, class_distances(scores), side="left")
    return np.asarray((1 + beyond) / (1 + len(reference)))


def _distances(scores: Float[np.ndarray, "sets classes"]) -> Float[np.ndarray, "sets classes"]:
    """(score - median) / Qn within each row; Qn without its constant, which cancels."""
    count = scores.shape[1]
    first, second = np.triu_indices(count, 1)
    half = count // 2 + 1
    rank = half * (half - 1) // 2 - 1
    apart = np.abs(scores[:, first] - scores[:, second])
    spread = np.partition(apart, rank, axis=1)[:, rank]
    # where most scores are equal Qn is 0 and says nothing; the normal law has Qn = 0.45 sigma
    floor = 1e-9 * (1 + np.abs(scores).max(axis=1))
    spread = np.where(spread > floor, spread, 0.45 * scores.std(axis=1))
    deviation = scores - np.median(scores, axis=1, keepdims=True)
    return np.asarray(deviation / np.maximum(spread, floor)[:, None])


@lru_cache(maxsize=64)
def _largest_distances(classes: int) -> np.ndarray:
    draws = np.random.default_rng(0)
    rows = max(1, 2_000_000 // classes**2)  # bounds the memory of the pairs
    sets = [
        draws.standard_normal((min(rows, _ROUNDS - n), classes)) for n in range(0, _ROUNDS, rows)
    ]
    return np.sort(np.concatenate([_distances(some).max(axis=1) for some in sets]))


def reference_scores(
    profile: Float[np.ndarray, "probes classes"],
    references: Float[np.ndarray, "references probes classes"],
) -> Float[np.ndarray, "classes"]:
    """How far each class of a model stands out from the same class of reference models.

    Per probe and class, the distance above the references' mean in standard deviations, to whose
    variance the mean variance over all probes and classes is added (a few references know a single
    spread badly); then, per class, the mean of the largest twentieth over the probes.
    Raises ``NotApplicable`` with fewer than two references.
    """
    if len(references) < 2:
        raise NotApplicable(f"a spread needs at least 2 reference models, got {len(references)}")
    variance = references.var(axis=0, ddof=1)
    spread = np.sqrt(variance + max(float(variance.mean()), 1e-12))
    distances = np.sort((profile - references.mean(axis=0)) / spread, axis=0)
    strongest = max(1, round(STRONGEST_SHARE * len(profile)))
    return np.asarray(distances[-strongest:].mean(axis=0))


def reference_p_values(
    profile: Float[np.ndarray, "probes classes"],
    references: Float[np.ndarray, "references probes classes"],
    clean: Sequence[float] | None = None,
) -> tuple[Float[np.ndarray, "classes"], Float[np.ndarray, "classes"]]:
    """Each class's distance from the references, and the chance that any class of a clean model
    lies as far away.

    A model that was trained on more than the references, or otherwise, differs from them in every
    class. So its distances are divided by its inflation, how far its classes below the
    ``TARGETS_AT_MOST`` highest lie from the references, relative to how far the references' lie
    from one another (1 at least; the idea of genomic control, Devlin, Roeder 1999). The chance is
    that of one more draw of the law of the largest such distance of clean models
    (``new_draw_p_values``): those in ``clean``, known from elsewhere, or else the references
    themselves, each against the others. It answers for all classes together.
    Raises ``NotApplicable`` with fewer than ``FEWEST_REFERENCES``.
    """
    count = len(references)
    if count < FEWEST_REFERENCES:
        raise NotApplicable(f"expected at least {FEWEST_REFERENCES} references, got {count}")
    among = np.array(
        [reference_scores(references[j], np.delete(references, j, axis=0)) for j in range(count)]
    )
    usual = float(np.mean([_bulk(distances) for distances in among]))
    scores = reference_scores(profile, references)
    scores = scores / max(1.0, _bulk(scores) / usual)
    if clean is None or len(clean) < FEWEST_REFERENCES:
        clean = [float(d.max()) / max(1.0, _bulk(d) / usual) for d in among]
    return scores, new_draw_p_values(scores, np.array(clean))


def _bulk(distances: Float[np.ndarray, "classes"]) -> float:
    """The mean distance of a quarter of the classes, those that follow the very highest."""
    ordered = np.sort(distances)[::-1]
    skipped = min(TARGETS_AT_MOST, len(ordered) - 1)
    quarter = ordered[skipped : skipped + max(1, round(len(ordered) / 4))]
    return max(float(quarter.mean()), LEAST_BULK)


def new_draw_p_values(
    scores: Float[np.ndarray, "classes"], clean: Float[np.ndarray, "models"]
) -> Float[np.ndarray, "classes"]:
    """The chance that one more draw of the log-normal law of ``clean`` is at least each score.

    ``draw_p_values`` of log(1 + x), whose spread is never taken to be below ``LEAST_LOG_SPREAD``.
    """
    logs = np.log1p(np.maximum(clean, 0.0))
    return draw_p_values(np.log1p(np.maximum(scores, 0.0)), logs, LEAST_LOG_SPREAD)


def draw_p_values(
    scores: Float[np.ndarray, "classes"],
    clean: Float[np.ndarray, "models"],
    least_spread: float = 1e-9,
) -> Float[np.ndarray, "classes"]:
    """The chance that one more draw of the normal law of ``clean`` is at least each score.

    Mean and spread are estimated, so the chance is Student's t with the factor
    sqrt(1 + 1 / models) of a new observation. With few models a rank could not fall below
    1 / (models + 1).
    """
    from scipy.stats import t

    spread = max(float(clean.std(ddof=1)), least_spread) * np.sqrt(1 + 1 / len(clean))
    return np.asarray(t.sf((scores - clean.mean()) / spread, len(clean) - 1))


def upper_draw_p_values(
    scores: Float[np.ndarray, "classes"], clean: Float[np.ndarray, "sets"]
) -> Float[np.ndarray, "classes"]:
    """As ``new_draw_p_values``, with the spread of the law's upper half only.

    Centre: the median; spread: the root mean square distance of what lies above it. So sets that
    score next to nothing, and say nothing of the highest scores, do not widen the law there. A new
    draw's factor is sqrt(1 + 2 / sets), a median being less certain than a mean (1.57 / sets).
    """
    from scipy.stats import t

    logs = np.log1p(np.maximum(clean, 0.0))
    middle = float(np.median(logs))
    upper = logs[logs > middle] - middle
    spread = max(float(np.sqrt(np.mean(upper**2))) if len(upper) else 0.0, LEAST_LOG_SPREAD)
    apart = np.log1p(np.maximum(scores, 0.0)) - middle
    return np.asarray(t.sf(apart / (spread * np.sqrt(1 + 2 / len(logs))), max(1, len(upper) - 1)))


def priors_of(detector: str, network: str) -> dict[str, list[float]]:
    """What is known of clean models and training sets (``priors.json``): the largest class score or
    distance of each, by law (``calibrating``). Empty where none are known. Models are those of the
    design half of our zoo.
    """
    return _priors().get(detector, {}).get(network, {})


@lru_cache(maxsize=1)
def _priors() -> dict[str, dict[str, dict[str, list[float]]]]:
    text = resources.files("otoscope").joinpath("priors.json").read_text()
    found: dict[str, dict[str, dict[str, list[float]]]] = json.loads(text)
    return found


def class_distances(scores: Float[np.ndarray, "classes"]) -> Float[np.ndarray, "classes"]:
    """Each class's distance above the median of all, in units of Qn (without its constant)."""
    return np.asarray(_distances(scores[None])[0])


def within_class_scale(
    scores: Float[np.ndarray, "clips"], labels: Int[np.ndarray, "clips"]
) -> Float[np.ndarray, "clips"]:
    """Clip scores made comparable between classes: distance above the class's lower quartile.

    The unit is the class's distance from its 0.05 quantile to its lower quartile. Poison scores
    high, so it leaves the low end of its class alone even where it is most of that class.
    """
    out = np.zeros(len(scores))
    for k in np.unique(labels):
        members = labels == k
        low, quartile = np.quantile(scores[members], [0.05, 0.25])
        out[members] = (scores[members] - quartile) / max(
            quartile - low, 1e-9 * (1 + abs(quartile))
        )
    return out


def conformal_p_values(
    scores: Float[np.ndarray, "clips"], reference: Float[np.ndarray, "clean"]
) -> Float[np.ndarray, "clips"]:
    """Share of clean reference scores at least as large, counting the clip itself.

    (1 + #{reference >= score}) / (1 + n): valid when a clean clip and the reference are
    exchangeable (Bates, Candes, Lei, Romano, Sesia 2021, equation 1).
    """
    ordered = np.sort(reference)
    beyond = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1 + beyond) / (1 + len(ordered)))


def cauchy_combination(
    p_values: Float[np.ndarray, "tests ..."],
    at_most: float = 0.5,
    weights: Sequence[float] | None = None,
) -> Float[np.ndarray, "..."]:
    """One p-value from several along the first axis, whatever their dependence.

    The mean of tan((1/2 - p) pi) is about standard Cauchy in its upper tail (Liu, Xie 2020,
    equation 2), also where tests count by ``weights`` (by default alike) that do not depend on the
    data. Deviation: p is kept ``at_most`` so high. By default a test that finds nothing counts
    nothing; as published, one with p = 0.99 outweighs one with p = 0.01. For five independent tests
    the level 0.05 becomes 0.058 so (0.056 where one counts as much as the others together), and
    0.01 stays.
    """
    p = np.clip(np.asarray(p_values, dtype=np.float64), 1e-15, at_most)
    statistic = np.average(np.tan((0.5 - p) * np.pi), axis=0, weights=weights)
    return np.asarray(np.arctan2(1.0, statistic) / np.pi)  # never exactly 0


def benjamini_hochberg(
    p_values: Float[np.ndarray, "clips"], false_discovery_rate: float
) -> Bool[np.ndarray, "clips"]:
    """Which hypotheses to reject so that the expected share of false ones stays below the rate."""
    count = len(p_values)
    if not count:
        return np.zeros(0, dtype=bool)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= false_discovery_rate * np.arange(1, count + 1) / count)
    return np.asarray(p_values <= ordered[passing[-1]] if len(passing) else np.zeros(count, bool))
