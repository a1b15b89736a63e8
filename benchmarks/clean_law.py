"""The law of clean training sets, which the audit compares a training set with: ``priors.json``.

    python benchmarks/clean_law.py --data ../shared/data            # run what is missing
    python benchmarks/clean_law.py --table                          # rebuild the priors from rows

One row per (task, network, set, seed, trusted clips) in ``benchmarks/results/clean_law.jsonl``: the
largest strength of evidence that ``witness`` finds against any class. All seeds are the design's
(100 and above), none of which a table of ours reports on.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import catalogue
import cleaning
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.calibrating import ANY_NETWORK
from otoscope.detect import Witness
from otoscope.detect.accusing import accused, strengths
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
    found, guilty = accused(view, Witness().testimony(view))
    return {"largest": float(np.max(strengths(found))), "accused": guilty}


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['task']} {row['network']} {row['set']} seed {row['seed']} trusted {row['trusted']}: "
        f"{row['largest']:.2f}, accused {row['accused']}"
    )


def priors() -> str:
    """The priors with this law in them."""
    known = json.loads(PRIORS.read_text())
    law = [round(row["largest"], 4) for row in read(ROWS)]
    known[Witness.name] = {ANY_NETWORK: {"training sets": law}}
    return json.dumps(known, indent=1) + "\n"


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PRIORS, priors)
