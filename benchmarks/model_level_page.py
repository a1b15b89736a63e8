"""Rows to the tables of docs/model-level.md."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otoscope.calibrate import (
    ANY_NETWORK,
    anomaly_index,
    cauchy_combination,
    draw_p_values,
    new_draw_p_values,
    priors_of,
)
from otoscope.calibrating import (
    FROM_BABBLE,
    LOG_ODDS,
    OWN,
    REFERENCES,
    among_alike,
    standing_p_values,
)
from otoscope.detect import DETECTORS, MetaClassifier
from otoscope.detect.model_margin import gamma_p_value
from otoscope.detect.model_meta_classifier import distances, log_odds
from otoscope.metrics import auroc, tpr_at_fpr, wilson_interval
from otoscope.registry import build

Row = dict[str, Any]
FALSE_ALARMS = 0.05
USUAL = 10
"""Trusted clips a class of the tables, save those by trusted clips and of the model alone."""

SPLITS = ("sequestered", "design")
META, FOLDS = MetaClassifier.name, 10
PROBABILITIES, DECISIONS = "probing", "probing:answers=labels"
"""Probing by probabilities, and as it was till the second zoo. The meta-classifier reads either: of
the first zoo, there are decisions only."""

BY_DECISIONS = f"{META}, by decisions"
MANY = 40
META_BY_MANY = f"{META}, {MANY} clips a class"
"""Its rows where references learned from so many clips, on data unlike ours."""

PAIR = (PROBABILITIES, "universal-perturbation")
TOGETHER = " and ".join(PAIR)
"""Both heard as one, as an audit combines them."""

BESIDE = ("universal-perturbation", "weight-statistics")
"""What the meta-classifier reads beside probing: its own rows are made from theirs."""


@dataclass(frozen=True)
class Method:
    """A way to read the rows of a detector: its score, its default decision, the class it names."""

    name: str
    detector: str
    score: Callable[[Row], float]
    flags: Callable[[Row], bool]
    target: str | None = "own_target"


def _law(row: Row, law: str, network: str = "cnn") -> np.ndarray:
    """What clean models of the design half with about as many classes score."""
    known = priors_of(build(DETECTORS, row["detector"]).law, network)
    return np.array(known[among_alike(law, len(row["classes"]))])


def _prior_p_values(row: Row) -> Float[np.ndarray, "classes"]:
    law = _law(row, OWN if row["trusted"] else FROM_BABBLE)
    detector = build(DETECTORS, row["detector"])
    return standing_p_values(detector, np.array(row["classes"]), law.tolist())


def _prior_p(row: Row) -> float:
    return float(row["p"] if "p" in row else _prior_p_values(row).min())


def _by_prior(row: Row) -> bool:
    return _prior_p(row) <= FALSE_ALARMS


def _reference_p(row: Row) -> float:
    return float(new_draw_p_values(np.array([row["reference_score"]]), _law(row, REFERENCES))[0])


def _cleanse_index(row: Row) -> float:
    """Neural Cleanse's own index: how far below the median a mask's area lies."""
    return float(anomaly_index(-np.exp(-np.array(row["classes"]))).max())


def _gamma(row: Row) -> float:
    return gamma_p_value(np.exp(np.array(row["classes"])))


def _by_references(name: str, detector: str) -> Method:
    """The distance from references, by the law of such distances of clean models."""
    return Method(
        name,
        detector,
        lambda r: r["reference_score"],
        lambda r: _reference_p(r) <= FALSE_ALARMS,
        "reference_target",
    )


def _by_own_classes(name: str, detector: str) -> Method:
    """The distance of a class from the model's other ones."""
    return Method(name, detector, lambda r: r["own_distance"], lambda r: r["own_p"] <= FALSE_ALARMS)


REFERENCES_ALONE = Method(
    "probing, 8 references alone",
    DECISIONS,
    lambda r: r["reference_score"],
    lambda r: r["reference_p"] <= FALSE_ALARMS,
    "reference_target",
)
METHODS = (
    *(
        Method(name, name, lambda r: r["log_odds"], lambda r: r["p"] <= FALSE_ALARMS)
        for name in (META, BY_DECISIONS)
    ),
    _by_references("probing by probabilities, 8 references", PROBABILITIES),
    _by_references("probing, 8 references", DECISIONS),
    REFERENCES_ALONE,
    _by_references("universal perturbation, 8 references", "universal-perturbation"),
    Method("MM-BD", "maximum-margin", lambda r: -_gamma(r), lambda r: _gamma(r) < 0.05),
    _by_own_classes("weight statistics", "weight-statistics"),
    _by_own_classes("sound inversion", "sound-inversion"),
    Method(
        "meta-classifier (MNTD)",
        "mntd",
        lambda r: r["score"],
        lambda r: r["score"] > 0,
        target=None,
    ),
    Method("Neural Cleanse", "trigger-inversion", _cleanse_index, lambda r: _cleanse_index(r) > 2),
)


def judged(rows: Sequence[Row], pulls: str) -> list[Row]:
    """Rows of the meta-classifier, of the models that have a row of each detector it reads.

    ``pulls`` is how it probes. Those of the design half are judged by regressions that did not
    learn from them, in folds.
    """
    found, names = _read(rows, pulls), _class_names(rows)
    known = [one for one in found if _design(one)]
    without = [
        _learned([one for i, one in enumerate(known) if i % FOLDS != fold], names)
        for fold in range(FOLDS)
    ]
    whole, place, made = _learned(known, names), count(), []
    for read in found:
        law = without[next(place) % FOLDS] if _design(read) else whole
        made.append(_weighed(read, law, names))
    return _by_law(made, made)


def judged_by(
    known: Sequence[Row], rows: Sequence[Row], pulls: str, *, wider: bool = False
) -> list[Row]:
    """Rows of the meta-classifier that learned from the design half of ``known``, other models.

    The law of clean models is that half's, too, or ``wider``: of the design half of ``rows`` as
    well.
    """
    law, names = _taught(known, pulls), _class_names(rows)
    made = [_weighed(read, law, names) for read in _read(rows, pulls)]
    return _by_law(made, [*judged(known, pulls), *(made if wider else ())])


def _weighed(
    read: list[Row],
    law: Float[np.ndarray, "coefficients"],
    names: dict[str, dict[int, str]],
) -> Row:
    """The meta-classifier's row of a model, from those of what it reads."""
    odds, probing = log_odds(_distances(read), law), read[0]
    best = names[probing["data"]].get(int(odds.argmax()))
    name = META if probing["detector"] == PROBABILITIES else BY_DECISIONS
    row = {**probing, "detector": name, "log_odds": float(odds.max()), "own_target": best}
    row["cpu_seconds"] = sum(one["cpu_seconds"] for one in read)
    if best != probing["reference_target"]:
        del row["recovered_success"]  # it is of another class
    return row


def _by_law(rows: Sequence[Row], known: Sequence[Row]) -> list[Row]:
    """The rows with the p-value of one more draw of the law of ``known`` clean design models."""
    law, made = _clean_odds(known), []
    for row in rows:
        p = draw_p_values(np.array([row["log_odds"]]), np.array(law[len(row["classes"])]))
        made.append(row | {"p": float(p[0])})
    return made


def _clean_odds(rows: Sequence[Row]) -> dict[int, list[float]]:
    """The log-odds of clean models of the design half, by their number of classes."""
    law: dict[int, list[float]] = {}
    for row in rows:
        if row["split"] == "design" and row["attack"] is None:
            law.setdefault(len(row["classes"]), []).append(row["log_odds"])
    return law


def together(rows: Sequence[Row]) -> list[Row]:
    """Rows of the detectors in ``PAIR`` heard as one, as an audit combines them."""
    by_model: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["detector"] in PAIR:
            by_model.setdefault(row["sha256"], {})[row["detector"]] = row
    names, made = _class_names(rows), []
    for told in by_model.values():
        if len(told) == len(PAIR):
            p_values = cauchy_combination(np.array([_prior_p_values(told[d]) for d in told]))
            first, best = next(iter(told.values())), int(p_values.argmin())
            row = {**first, "detector": TOGETHER, "p": float(p_values.min())}
            row["own_target"] = names[first["data"]].get(best)
            row["cpu_seconds"] = sum(one["cpu_seconds"] for one in told.values())
            row.pop("recovered_success", None)  # each proves its own
            made.append(row)
    return made


def learned_from(
    rows: Sequence[Row], more: Sequence[Row], pulls: str
) -> tuple[list[float], dict[int, list[float]]]:
    """What is shipped: coefficients from the whole design half, and the log-odds of its clean
    models, and of those in ``more``, by their number of classes."""
    odds = _clean_odds([*judged(rows, pulls), *judged_by(rows, more, pulls)])
    return _taught(rows, pulls).tolist(), odds


def _read(rows: Sequence[Row], pulls: str) -> list[list[Row]]:
    """For each model that has them all, the rows that the meta-classifier reads; probing first."""
    wanted, by_model = (pulls, *BESIDE), dict[str, dict[str, Row]]()
    for row in rows:
        if row["detector"] in wanted and row["trusted"] == USUAL:
            by_model.setdefault(row["model"], {})[row["detector"]] = row
    return [[of[w] for w in wanted] for of in by_model.values() if len(of) == len(wanted)]


def _design(read: list[Row]) -> bool:
    return bool(read[0]["split"] == "design")


def _distances(read: list[Row]) -> Float[np.ndarray, "classes statistics"]:
    probing, answers, weights = read
    above = np.array(answers["classes"]) - np.array(answers["references"])
    return distances(np.array(probing["apart"]), above, np.array(weights["classes"]))


def _taught(rows: Sequence[Row], pulls: str) -> Float[np.ndarray, "coefficients"]:
    """What the whole design half of these rows teaches."""
    known = [one for one in _read(rows, pulls) if _design(one)]
    return _learned(known, _class_names(rows))


def _learned(
    known: Sequence[list[Row]], names: dict[str, dict[int, str]]
) -> Float[np.ndarray, "coefficients"]:
    """Intercept and weights of a logistic regression: is this class a target of this model?"""
    read = np.concatenate([_distances(one) for one in known])
    truth = np.concatenate(
        [
            [
                names[probing["data"]].get(k) in probing["true_targets"]
                for k in range(len(probing["classes"]))
            ]
            for probing, *_ in known
        ]
    )
    law = LogisticRegression(class_weight="balanced").fit(read, truth)
    return np.concatenate([law.intercept_, law.coef_[0]])


def _class_names(rows: Sequence[Row]) -> dict[str, dict[int, str]]:
    """Which name stands at which place, by data set, as far as rows name a class."""
    names: dict[str, dict[int, str]] = {}
    for row in rows:
        if "classes" in row:
            known = names.setdefault(row["data"], {})
            known[int(np.argmax(row["classes"]))] = row["own_target"]
            if "apart" in row:
                known[int(np.argmax(row["apart"]))] = row["reference_target"]
    return names


Found = tuple[Sequence[Row], Sequence[Row]]
"""Rows of a zoo's models under the detectors, and the rows of the zoo itself."""


def tables(first: Found, second: Found, third: Found) -> str:
    """The third zoo, all methods beside each other; then the second, and what is found there
    without reference models, and without any clips; then the first, and other numbers of trusted
    clips."""
    usual_first, usual_second, usual_third = (
        [row for row in rows if row.get("trusted") in (None, USUAL)]
        for rows, _ in (first, second, third)
    )
    told_first = [*usual_first, *judged(usual_first, DECISIONS)]
    told_second = [
        *usual_second,
        *judged_by(usual_first, usual_second, DECISIONS),
        *judged(usual_second, PROBABILITIES),
    ]
    told_third = [*usual_third, *judged_by(usual_second, usual_third, PROBABILITIES, wider=True)]
    parts = [_zoo(third[1], "The third zoo")]
    parts += [_summary(told_third, "sequestered", "The third zoo's ", [*told_second, *told_first])]
    parts += [_families(told_third, "The third zoo: ")]
    parts += [_zoo(second[1], "The second zoo")]
    parts += [_summary(told_second, split, "The second zoo's ") for split in SPLITS]
    parts += [_families(told_second, "The second zoo: "), _likeness(second[0])]
    unit = [row for row in second[0] if row["detector"] == "training"]
    for title, trusted in (("Without reference models", USUAL), ("With the model alone", 0)):
        mine = [row for row in second[0] if row.get("trusted") == trusted]
        parts.append(_by_priors(title, [*unit, *mine, *together(mine)]))
    parts += [_zoo(first[1], "The first zoo")]
    parts += [_summary(told_first, split, "The first zoo's ") for split in SPLITS]
    parts += [_families(told_first, "The first zoo: ")]
    parts += [_curve([row for row in first[0] if row["detector"] == DECISIONS])]
    return "\n".join(parts)


def _curve(rows: Sequence[Row]) -> str:
    """Probing by the number of trusted clips a class, on the models that have every number."""
    by_count: dict[int, list[Row]] = {}
    for row in rows:
        by_count.setdefault(row["trusted"], []).append(row)
    everywhere = set.intersection(*({r["sha256"] for r in some} for some in by_count.values()))
    body = []
    for clips, found in sorted(by_count.items()):
        mine = [r for r in found if r["sha256"] in everywhere]
        bad = np.array([r["attack"] is not None for r in mine], dtype=bool)
        if not bad.any() or bad.all():
            continue
        body.append([str(clips), *_told(REFERENCES_ALONE, mine, bad)])
    header = ["trusted clips a class", "AUROC", "found at best threshold"]
    header += ["found", "false alarms", "right class"]
    return "## Probing by trusted clips\n\n" + _table(header, body)


def _likeness(rows: Sequence[Row]) -> str:
    """How like what was recovered for a true target is to the attack's own trigger."""
    known = [row for row in rows if "correlation_rank" in row and row["split"] == "sequestered"]
    families = sorted({row["family"] for row in known})
    groups = [(one, [row for row in known if row["family"] == one]) for one in families]
    body = []
    for name, mine in [*groups, ("all", known)] if known else []:
        line = [name, str(len(mine))]
        for measure in ("correlation", "intersection"):
            ranks = np.array([row[f"{measure}_rank"] for row in mine])
            line += [f"{np.median([row[measure] for row in mine]):.2f}", f"{ranks.mean():.2f}"]
            line.append(_share(ranks > 0.9, interval=False))
        body.append(line)
    header = ["family", "models"]
    for measure in ("correlation", "spectrogram intersection"):
        header += [f"{measure}, median", "mean rank", "rank over 0.9"]
    return "## Recovered triggers beside the true ones\n\n" + _table(header, body)


def _by_priors(title: str, rows: Sequence[Row]) -> str:
    """What detectors say by the law of the clean models of the design half."""
    body = []
    known = [row for row in rows if row["detector"] in (*PAIR, DECISIONS, TOGETHER)]
    wheres = [*sorted({row["data"] for row in known}), ""]
    for split, detector in product(SPLITS, sorted({row["detector"] for row in known})):
        method = Method(detector, detector, lambda r: -_prior_p(r), _by_prior)
        for where in wheres:
            mine, bad = _of([r for r in known if where in r["data"]], method, split)
            if bad.any() and not bad.all():
                line = [detector, split, where or "both", f"{(~bad).sum()} / {bad.sum()}"]
                found = [r for r in mine if r["attack"] is not None and method.flags(r)]
                proofs = [r["recovered_success"] for r in found if "recovered_success" in r]
                line += [*_told(method, mine, bad), _share(np.array(proofs) >= 0.9)]
                body.append([*line, f"{_cost(rows, mine):.2f}"])
    header = ["detector", "half", "data", "clean / backdoored", "AUROC", "found at best threshold"]
    header += ["found", "false alarms", "right class", "trigger proved", "cost"]
    return f"## {title}\n\n" + _table(header, body)


def elsewhere(rows: Sequence[Row]) -> str:
    """Other data and networks than those whose clean models are the law."""
    body = []
    for place in dict.fromkeys((row["data"], row["network"]) for row in rows):
        mine = [row for row in rows if (row["data"], row["network"]) == place]
        clean = [row for row in mine if row["attack"] is None]
        bad = [row for row in mine if row["attack"] and row["attack_success"] >= 0.8]
        line = [*place, f"{statistics.mean(row['accuracy'] for row in mine):.3f}"]
        for start in ("trusted", "alone"):
            found = [row for row in bad if set(_accused(row, start)) & set(row["targets"])]
            told = [row for row in clean if _accused(row, start)]
            line += [f"{len(found)} of {len(bad)}", f"{len(told)} of {len(clean)}"]
        for name, some in product((META, META_BY_MANY), (bad, clean)):
            told = [_odds_p(row, name) <= FALSE_ALARMS for row in some if name in row]
            line.append(f"{sum(told)} of {len(told)}" if told else "–")
        body.append(line)
    header = ["data", "network", "mean accuracy", "found, trusted clips", "false alarms"]
    header += ["found, model alone", "false alarms"]
    for name in (META, META_BY_MANY):
        header += [f"found, {name}", "false alarms"]
    return "## Elsewhere\n\n" + _table(header, body)


def _odds_p(row: Row, name: str) -> float:
    """By the meta-classifier of this name and the law that is shipped."""
    law = priors_of(META, ANY_NETWORK)[among_alike(LOG_ODDS, len(row["classes"]))]
    return float(draw_p_values(np.array([max(row[name])]), np.array(law))[0])


def _accused(row: Row, start: str) -> list[str]:
    """The classes that the detectors in ``PAIR``, heard as one, accuse."""
    trusted = USUAL if start == "trusted" else 0
    told = [
        _prior_p_values({"detector": name, "trusted": trusted, "classes": scores})
        for name, scores in row[start].items()
    ]
    p_values = cauchy_combination(np.array(told))
    return [row["classes"][k] for k in np.flatnonzero(p_values <= FALSE_ALARMS)]


def _told(method: Method, mine: Sequence[Row], bad: np.ndarray) -> list[str]:
    """AUROC, found at best threshold, found, false alarms, right class among those found."""
    scores = np.array([method.score(r) for r in mine])
    flagged = np.array([method.flags(r) for r in mine], dtype=bool)
    low, high = _auroc_interval(scores, bad)
    found = [r for r, b, f in zip(mine, bad, flagged, strict=True) if b and f]
    named = [r[method.target] in r["true_targets"] for r in found if method.target]
    return [
        f"{auroc(scores, bad):.3f} [{low:.3f}, {high:.3f}]",
        f"{tpr_at_fpr(scores, bad, FALSE_ALARMS):.2f}",
        _share(flagged[bad]),
        _share(flagged[~bad]),
        _share(np.array(named)),
    ]


def _of(rows: Sequence[Row], method: Method, split: str) -> tuple[list[Row], np.ndarray]:
    mine = [r for r in rows if r["detector"] == method.detector and r.get("split") == split]
    return mine, np.array([r["attack"] is not None for r in mine], dtype=bool)


def _summary(rows: Sequence[Row], split: str, whose: str, before: Sequence[Row] = ()) -> str:
    """All methods on one half; ``before`` are the rows of earlier zoos, whose design halves tell
    what a score is worth where this one's does not."""
    body = []
    for method in METHODS:
        mine, bad = _of(rows, method, split)
        if not bad.any() or bad.all():
            continue
        ranked, *decided = _told(method, mine, bad)
        scores = np.array([method.score(r) for r in mine])
        found = [r for r in mine if r["attack"] is not None and method.flags(r)]
        proved = [r["recovered_success"] >= 0.9 for r in found if "recovered_success" in r]
        entropy = _cross_entropy([*rows, *before], method, scores, bad)
        line = [method.name, f"{(~bad).sum()} / {bad.sum()}", ranked, entropy, *decided]
        body.append([*line, _share(np.array(proved)), f"{_cost(rows, mine):.2f}"])
    header = ["method", "clean / backdoored", "AUROC", "cross-entropy", "found at best threshold"]
    header += ["found", "false alarms", "right class", "trigger proved", "cost"]
    clean = [r for r in rows if r.get("split") == split and r["attack"] is None]
    probing = DECISIONS if any(r["detector"] == DECISIONS for r in clean) else PROBABILITIES
    proofs = [r["recovered_success"] for r in clean if r["detector"] == probing]
    there = _share(np.array(proofs) >= 0.9)
    said = f"Of the clean models, a change that sends 0.9 to a class is there in {there}."
    return f"## {whose}{split} half\n\n" + _table(header, body) + f"\n{said}\n"


def _cost(rows: Sequence[Row], mine: Sequence[Row]) -> float:
    """CPU seconds as a multiple of training one CNN on the same data, the median over models."""
    unit = {r["model"]: r["cpu_seconds"] for r in rows if r["detector"] == "training"}
    return statistics.median(r["cpu_seconds"] / unit[r["data"]] for r in mine)


def _families(rows: Sequence[Row], whose: str) -> str:
    shown = [m for m in METHODS if any(r["detector"] == m.detector for r in rows)]
    body = []
    for split in SPLITS:
        families = {r["family"] for r in rows if r.get("family") and r["split"] == split}
        for family in sorted(families):
            line = [family, split]
            for method in shown:
                mine = [r for r in _of(rows, method, split)[0] if r["family"] == family]
                flags = np.array([method.flags(r) for r in mine], bool)
                missed = {r["attack"] for r, f in zip(mine, flags, strict=True) if not f}
                told = f" ({', '.join(sorted(missed))})" if method is shown[0] and missed else ""
                line.append(_share(flags, interval=False) + told)
            body.append(line)
    header = ["family", "half", *(m.name for m in shown)]
    title = f"{whose}found at the default decision, by family"
    return f"## {title}\n\nMissed attacks in brackets.\n\n" + _table(header, body)


def _zoo(zoo: Sequence[Row], title: str) -> str:
    body = []
    for data in sorted({r["data"] for r in zoo}):
        for split in SPLITS:
            mine = [r for r in zoo if r["data"] == data and r["split"] == split]
            clean = [r for r in mine if r["attack"] is None]
            strong = [r for r in mine if r["attack"] and r["attack_success"] >= 0.8]
            weak = len(mine) - len(clean) - len(strong)
            accuracy = statistics.mean(r["accuracy"] for r in mine) if mine else float("nan")
            counts = map(str, (len(clean), len(strong), weak))
            body.append([data, split, *counts, f"{accuracy:.3f}"])
    header = ["data", "half", "clean", "backdoored", "too weak to count", "mean accuracy"]
    return f"## {title}\n\n" + _table(header, body)


def _share(hits: np.ndarray, *, interval: bool = True) -> str:
    if not len(hits):
        return "–"
    low, high = wilson_interval(int(hits.sum()), len(hits))
    told = f"{int(hits.sum())} of {len(hits)}"
    return f"{told} [{low:.2f}, {high:.2f}]" if interval else told


def _auroc_interval(scores: np.ndarray, bad: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over models, clean and backdoored ones drawn apart."""
    rng = np.random.default_rng(0)
    groups = np.flatnonzero(bad), np.flatnonzero(~bad)
    values = []
    for _ in range(1000):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(auroc(scores[drawn], bad[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _cross_entropy(rows: Sequence[Row], method: Method, scores: np.ndarray, bad: np.ndarray) -> str:
    """Mean cross-entropy of probabilities by a logistic law of the score (Platt scaling).

    The law is fitted on the design half, so that half's own figure is optimistic.
    """
    known, truth = _of(rows, method, "design")
    if not truth.any() or truth.all():
        return "–"
    seen = np.array([[method.score(r)] for r in known])
    law = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, class_weight="balanced"))
    law.fit(seen, truth)
    chance = np.clip(law.predict_proba(scores[:, None])[:, 1], 1e-3, 1 - 1e-3)
    return f"{-np.mean(np.where(bad, np.log(chance), np.log(1 - chance))):.2f}"


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
