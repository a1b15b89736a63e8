"""The law of clean training sets, which the audit compares a training set with: ``priors.json``.

    python benchmarks/clean_law.py --data ../shared/data            # run what is missing
    python benchmarks/clean_law.py --table                          # rebuild the priors from rows

One row per (task, network, set, seed, trusted clips) in ``benchmarks/results/clean_law.jsonl``: the
largest strength of evidence that ``witness`` finds against any class, and the largest distance of a
class from the others that each other detector finds. All seeds are the design's (100 and above),
none of which a table of ours reports on.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import catalogue
import cleaning
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.calibrate import ANY_NETWORK, class_distances
from otoscope.calibrating import DISTANCES, STRENGTHS
from otoscope.detect import DETECTORS, Scores, Witness
from otoscope.detect.accusing import strengths
from otoscope.registry import build
from rows import PRIORS, Job, Row, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "clean_law.jsonl"

SETS = (
    ("keywords", "cnn", "clean", (100, 101, 102, 103)),
    ("keywords", "cnn", "clean with tone", (100,)),
    ("keywords", "cnn", "clean with hum", (100,)),
    ("keywords", "cnn", "clean with reverb", (100,)),
    ("keywords", "gru-attention", "clean", (100, 101)),
    ("speakers", "cnn", "clean", (100, 101)),
    ("speakers", "cnn", "clean with hum", (101,)),
)

BY_DISTANCE = (
    "activation-clustering",
    "spectral-signatures",
    "gaussian-mixture",
    "scan",
    "vouching",
    "spectre",
    "beatrix",
    "subset-scanning",
    "neighbours",
    "confident-learning",
    "strip",
)
"""The detectors that compare a class with the other classes of the same set."""


def jobs() -> Iterator[Job]:
    """Every set with ten trusted clips a class and with none."""
    for task, network, name, seeds in SETS:
        for seed in seeds:
            for trusted in (10, 0):
                yield {
                    "task": task,
                    "network": network,
                    "set": name,
                    "rate": 0.0,
                    "seed": seed,
                    "trusted": trusted,
                }


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """The largest strength of one set, and which classes are accused."""
    splits = catalogue.data(job["task"], folder)
    model, clips, *_ = cleaning.made(job, splits, cache)
    known = splits.trusted.per_class(job["trusted"]) if job["trusted"] else None
    view = look(model, clips, trusted=known, seed=job["seed"], cache=cache)
    found, guilty, _ = Witness().verdict(view)
    distances = {name: _farthest(build(DETECTORS, name).score(view)) for name in BY_DISTANCE}
    return {
        "largest": float(np.max(strengths(found))),
        "accused": guilty,
        "distances": distances,
    }


def _farthest(scores: Scores) -> float:
    classes = scores.classes
    return float(class_distances(classes[np.isfinite(classes)]).max())


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['task']} {row['network']} {row['set']} seed {row['seed']} trusted {row['trusted']}: "
        f"{row['largest']:.2f}, accused {row['accused']}"
    )


def priors() -> str:
    """The priors with this law in them."""
    known, rows = json.loads(PRIORS.read_text()), read(ROWS)
    law = [round(row["largest"], 4) for row in rows]
    known[Witness.name] = {ANY_NETWORK: {STRENGTHS: law}}
    for name in BY_DISTANCE:
        # a detector that takes no notice of trusted clips says the same twice
        law = list(dict.fromkeys(round(row["distances"][name], 4) for row in rows))
        known[name] = {ANY_NETWORK: {DISTANCES: law}}
    return json.dumps(known, indent=1) + "\n"


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PRIORS, priors)
