"""Every data-level detector on the same sets: the tables in docs/detectors.md.

    python benchmarks/detectors.py --data ../shared/data            # run what is missing
    python benchmarks/detectors.py --table                          # rebuild the page from the rows

One row per (set, trusted clips, detector) in ``benchmarks/results/detectors.jsonl``. The sets are
the first of ``cleaning.jobs``: every reported attack at one rate, and the clean sets. Scores are
judged at their best threshold (the true-positive rate at 1 % false positives), and at the decision
that each method's paper makes where it makes one.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

import catalogue
import cleaning
from detectors_page import render
from otoscope import metrics
from otoscope.auditing import look, scan
from otoscope.cache import Cache
from otoscope.calibrate import anomaly_index
from otoscope.clips import Clips
from otoscope.detect import DETECTORS, Scan, Scores, View
from otoscope.registry import build
from peers import peers
from rows import Job, Row, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "detectors.jsonl"
PAGE = HERE.parent / "docs" / "detectors.md"

SETS = 35
"""The first pass of ``cleaning.jobs``: an attack each, and the clean sets."""

SLOW = ("cognitive-distillation", "confusion-training")
"""These optimise for every clip, or train in rounds: every fifth set is theirs."""

PEERS = ("art activation clustering", "art spectral signatures")
"""The Adversarial Robustness Toolbox, at its defaults; it knows no trusted clips and gives no
ranking."""

NAMES = tuple(name for name in DETECTORS if DETECTORS[name].level == "data")

Mask = np.ndarray


def jobs() -> Iterator[Job]:
    """With trusted clips, then without, then the slow detectors; set by set."""
    sets = list(islice(cleaning.jobs(), SETS))
    for slow, trusted in ((False, 10), (False, 0), (True, 10)):
        for job in sets[::5] if slow else sets:
            for name in NAMES:
                if (name in SLOW) == slow:
                    yield job | {"trusted": trusted, "detector": name}
            if not slow and not trusted:
                for name in PEERS:
                    yield job | {"trusted": trusted, "detector": name}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """Score one set by one detector."""
    splits = catalogue.data(job["task"], folder)
    model, clips, poison, cover, _ = cleaning.made(job, splits, cache)
    known = splits.trusted.per_class(10) if job["trusted"] else None
    view = look(model, clips, trusted=known, seed=job["seed"], cache=cache)
    if job["detector"] in PEERS:
        return _peer(job["detector"], view, poison)
    started = time.monotonic()
    found = scan(build(DETECTORS, job["detector"]), view)
    row: Row = {
        "n_poisoned": int(poison.sum()),
        "p_value": found.evidence.p_value,
        "reason": found.evidence.reason,
        "seconds": round(time.monotonic() - started, 1),
        "forward_passes": found.evidence.forward_passes,
    }
    if found.scores is None or found.scores.clips is None:
        return row
    scores, honest = found.scores.clips, ~poison & ~cover
    if poison.any():
        row["auroc"] = metrics.auroc(scores[poison | honest], poison[poison | honest])
        row["tpr_at_1"] = metrics.tpr_at_fpr(scores[poison | honest], poison[poison | honest], 0.01)
        row["target_first"] = _target_first(found.scores, clips, poison)
    decide = DEFAULTS.get(job["detector"])
    if decide is not None:
        flagged = decide(found.scores, view, float(poison.mean()))
        row["flagged_poisoned"] = float(flagged[poison].mean()) if poison.any() else None
        row["flagged_clean"] = float(flagged[honest].mean())
    return row


def _peer(name: str, view: View, poison: Mask) -> Row:
    assert view.clips is not None
    assert view.seen is not None
    assert view.seen.features is not None
    found = peers(view.seen.features, view.clips.labels, poison, float(poison.mean()))[name]
    said = {"n_poisoned": int(poison.sum()), "p_value": None, "reason": "", "forward_passes": 1.0}
    return said | {key: None if np.isnan(value) else value for key, value in found.items()}


def _target_first(scores: Scores, clips: Clips, poison: Mask) -> bool | None:
    """Whether the class with the highest score is a target; None where all classes are."""
    targets = np.unique(clips.labels[poison])
    if len(targets) == len(clips.classes):
        return None
    return bool(np.nanargmax(scores.classes) in targets)


def _smaller_cluster(scores: Scores, view: View, _: float) -> Mask:
    """Activation clustering: the smaller cluster of a class where it is under 0.35 of it."""
    flagged = np.asarray(scores.clips > 0)
    assert view.clips is not None
    for k in range(len(view.clips.classes)):
        members = view.clips.labels == k
        if not 0 < flagged[members].mean() < 0.35:
            flagged[members] = False
    return flagged


def _most_of_each_class(scores: Scores, view: View, rate: float) -> Mask:
    """Spectral signatures: the 1.5 times ``rate`` of all clips that score highest, per class."""
    flagged = np.zeros(len(scores.clips), bool)  # type: ignore[arg-type]
    assert view.clips is not None
    assert scores.clips is not None
    count = round(1.5 * rate * len(view.clips))
    for k in range(len(view.clips.classes)):
        members = np.flatnonzero(view.clips.labels == k)
        flagged[members[np.argsort(-scores.clips[members])[:count]]] = True
    return flagged


def _most_of_one_class(scores: Scores, view: View, rate: float) -> Mask:
    """SPECTRE: as many clips of the class with the highest score."""
    flagged = _most_of_each_class(scores, view, rate)
    assert view.clips is not None
    return np.asarray(flagged & (view.clips.labels == np.nanargmax(scores.classes)))


def _suspect_subgroup(_: Scores, view: View, __: float) -> Mask:
    """SCAn: the suspect subgroup of each class whose J* exceeds e^2."""
    found = Scan().look_at(view)
    assert view.clips is not None
    return np.asarray(found.suspect & (found.anomaly_index > np.e**2)[view.clips.labels])


def _outlying(scores: Scores, _: View, __: float) -> Mask:
    """Beatrix: an anomaly index over e^2."""
    assert scores.clips is not None
    return anomaly_index(scores.clips) > np.e**2


def _lowest_loss(scores: Scores, _: View, __: float) -> Mask:
    """Anti-backdoor learning: the one per cent with the lowest loss."""
    assert scores.clips is not None
    return np.asarray(scores.clips >= np.quantile(scores.clips, 0.99))


DEFAULTS: dict[str, Callable[[Scores, View, float], Mask]] = {
    "activation-clustering": _smaller_cluster,
    "spectral-signatures": _most_of_each_class,
    "spectre": _most_of_one_class,
    "scan": _suspect_subgroup,
    "beatrix": _outlying,
    "loss-dynamics": _lowest_loss,
}
"""What each paper flags; spectral signatures and SPECTRE are told the true rate."""


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['task']} {row['set']} {row['rate']} trusted {row['trusted']} {row['detector']}: "
        f"AUROC {row.get('auroc')}, TPR {row.get('tpr_at_1')}, p {row['p_value']}, "
        f"{row['seconds']} s {row['reason'] or ''}"
    )


def page() -> str:
    """docs/detectors.md from the rows of both benchmarks."""
    return render(read(ROWS), read(cleaning.ROWS))


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
