"""The law of clean training sets, which the audit compares a training set with: ``priors.json``.

    python benchmarks/clean_law.py --data ../shared/data            # run what is missing
    python benchmarks/clean_law.py --table                          # rebuild the priors from rows

One row per (task, network, set, seed, trusted clips) in ``benchmarks/results/clean_law.jsonl``: the
largest strength of evidence that ``witness`` finds against any class, which classes it accuses, and
the largest distance of a class from the others that each other detector finds. All seeds are the
design's (100 and above), none of which a table of ours reports on. Rows that tell distances only
are of before the gap of ``witness`` became a share; delete them to run them again.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import catalogue
import cleaning
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.calibrate import ANY_NETWORK, class_distances
from otoscope.calibrating import (
    ACCUSED_ALONE,
    ACCUSED_TRUSTED,
    DISTANCES,
    STRENGTHS,
    among_alike,
)
from otoscope.detect import DETECTORS, Scores, Witness
from otoscope.detect.accusing import strengths
from otoscope.registry import build
from rows import PRIORS, Job, Row, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "clean_law.jsonl"

SETS = (
    ("keywords", "cnn", "clean", 180, (100, 101, 102, 103)),
    ("keywords", "cnn", "clean with tone", 180, (100,)),
    ("keywords", "cnn", "clean with hum", 180, (100,)),
    ("keywords", "cnn", "clean with reverb", 180, (100,)),
    ("keywords", "gru-attention", "clean", 180, (100, 101)),
    ("speakers", "cnn", "clean", 72, (100, 101)),
    ("speakers", "cnn", "clean with hum", 72, (101,)),
)
"""Task, network, set, clips of each class, seeds: sets that every detector is asked about."""

WITNESSED = (
    ("keywords", "cnn", "clean", 60, (110, 111, 112, 113, 114)),
    ("keywords", "cnn", "clean with tone", 60, (110, 111)),
    ("keywords", "cnn", "clean with hum", 60, (112, 113)),
    ("keywords", "cnn", "clean with reverb", 60, (114, 115)),
    ("speakers", "cnn", "clean", 36, (110, 111, 112)),
    ("keywords", "gru-attention", "clean", 60, (110, 111, 112)),
    ("keywords", "cnn", "clean", 120, (116, 117, 118)),
    ("keywords", "ds-cnn", "clean", 60, (110, 111, 112)),
    ("speakers", "cnn", "clean with tone", 36, (113, 114)),
    ("speakers", "cnn", "clean with reverb", 36, (115,)),
    ("keywords", "cnn", "clean with tone", 120, (116,)),
    ("keywords", "cnn", "clean with reverb", 120, (118,)),
    ("keywords", "cnn", "clean", 60, (120, 121, 122, 123, 124, 125)),
    ("speakers", "cnn", "clean", 36, (120, 121, 122, 123)),
    ("keywords", "cnn", "clean with tone", 60, (126, 127)),
    ("speakers", "cnn", "clean with hum", 36, (124, 125)),
    ("keywords", "cnn", "clean with hum", 60, (128, 129)),
    ("keywords", "ds-cnn", "clean", 60, (120, 121, 122)),
    ("keywords", "cnn", "clean with reverb", 60, (130, 131)),
    ("keywords", "gru-attention", "clean", 60, (120, 121, 122)),
    ("speakers", "cnn", "clean with tone", 36, (126,)),
    ("speakers", "cnn", "clean with reverb", 36, (127,)),
    ("keywords", "cnn", "clean", 120, (122, 123)),
    ("keywords", "cnn", "clean", 60, (140, 141, 142, 143, 144, 145, 146, 147, 148, 161)),
    ("keywords", "cnn", "clean with tone", 60, (150, 155)),
    ("keywords", "cnn", "clean with hum", 60, (151, 156)),
    ("keywords", "cnn", "clean with reverb", 60, (152, 157)),
    ("keywords", "gru-attention", "clean", 60, (153, 158, 162)),
    ("keywords", "ds-cnn", "clean", 60, (154, 159)),
    ("keywords", "cnn", "clean", 120, (160,)),
    ("speakers", "cnn", "clean", 36, (128, 129, 130, 131)),
    ("speakers", "cnn", "clean with tone", 36, (132,)),
    ("speakers", "cnn", "clean with hum", 36, (133,)),
    ("speakers", "cnn", "clean with reverb", 36, (134,)),
    ("speakers", "gru-attention", "clean", 36, (135, 136)),
    ("speakers", "ds-cnn", "clean", 36, (137,)),
)
"""More sets, that only ``witness`` is asked about."""

CLASSES = {"keywords": 12, "speakers": 30}
"""How many classes the sets of a task have: those of about as many share a law."""

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


UNMOVED = (
    "activation-clustering",
    "spectral-signatures",
    "gaussian-mixture",
    "spectre",
    "neighbours",
    "vouching",
)
"""Trusted clips change these' class scores by next to nothing: they say one thing of a set."""


def jobs() -> Iterator[Job]:
    """Every set with ten trusted clips a class and with none."""
    for task, network, name, clips, seeds in (*SETS, *WITNESSED):
        for seed in seeds:
            for trusted in (10, 0):
                yield {
                    "task": task,
                    "network": network,
                    "set": name,
                    "clips": clips,
                    "rate": 0.0,
                    "seed": seed,
                    "trusted": trusted,
                }


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """The largest strength of one set, and which classes are accused."""
    splits = catalogue.data(job["task"], folder)
    splits = replace(splits, train=splits.train.per_class(job["clips"], job["seed"]))
    model, clips, *_ = cleaning.made(job, splits, cache)
    known = splits.trusted.per_class(job["trusted"]) if job["trusted"] else None
    view = look(model, clips, trusted=known, seed=job["seed"], cache=cache)
    found, guilty, _ = Witness().verdict(view)
    row: Row = {"largest": float(np.max(strengths(found))), "accused": guilty}
    if (job["task"], job["network"], job["set"], job["clips"]) in {kind[:4] for kind in SETS}:
        row["distances"] = {n: _farthest(build(DETECTORS, n).score(view)) for n in BY_DISTANCE}
    return row


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
    sets: dict[str, list[float]] = {}
    for task, classes in CLASSES.items():
        alike = [row for row in rows if row["task"] == task and "largest" in row]
        sets[among_alike(STRENGTHS, classes)] = [round(row["largest"], 4) for row in alike]
        for name, trusted in ((ACCUSED_TRUSTED, True), (ACCUSED_ALONE, False)):
            asked = [bool(row["accused"]) for row in alike if bool(row["trusted"]) == trusted]
            sets[among_alike(name, classes)] = [sum(asked), len(asked)]
    known[Witness.name] = {ANY_NETWORK: sets}
    for name in BY_DISTANCE:
        told = [r for r in rows if "distances" in r and not (r["trusted"] and name in UNMOVED)]
        law = [round(row["distances"][name], 4) for row in told]
        known[name] = {ANY_NETWORK: {DISTANCES: law}}
    return json.dumps(known, indent=1) + "\n"


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PRIORS, priors)
