"""Tests on models where no law of clean models comes from: other voices, other networks.

    python benchmarks/elsewhere.py --data ../shared/data   # run what is missing
    python benchmarks/elsewhere.py --table                 # rebuild docs/model-level.md

One row per (data, network, attack, seed) in ``benchmarks/results/elsewhere.jsonl``: a model is
trained and scored by two detectors that know the clean models of our own data, once with nothing
but the model and once with ten trusted clips a class; small CNNs by the meta-classifier as well.
"""

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import catalogue
import model_level
import otoscope as oto
from model_level_page import DECISIONS, MANY, META, META_BY_MANY
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.checkpoints import load_checkpoint
from otoscope.datasets import Splits
from otoscope.detect import DETECTORS, MetaClassifier
from otoscope.networks import CNN
from otoscope.registry import build
from otoscope.zoo import Member, raise_member
from rows import Job, Row, complete

PLACES = (
    ("librispeech-speakers", "cnn"),
    ("demo", "cnn"),
    ("keywords", "ds-cnn"),
    ("keywords", "gru-attention"),
)
ATTACKS = (None, "clap", None, "whistle", None, None)
"""Two thirds of the models are clean: what is asked is how often these are accused."""

HEARD = (DECISIONS, "universal-perturbation")
FIRST_SEED = 900


def jobs() -> Iterator[Job]:
    """The same models in every place, place after place in turn."""
    for number, attack in enumerate(ATTACKS):
        for data, network in PLACES:
            seed = FIRST_SEED + number
            yield {"data": data, "network": network, "attack": attack, "seed": seed}


def run(job: Job, folder: Path, cache: Cache | None) -> Row:
    """Train a model, and search it from both starts."""
    member, splits = Member(**job, split="sequestered"), splits_of(job["data"], folder)
    with tempfile.TemporaryDirectory() as place:
        row = raise_member(member, {member.data: splits}, Path(place), cache)
        model = load_checkpoint(Path(place) / member.file_name)
    told: Row = {name: row[name] for name in ("accuracy", "attack_success", "targets")}
    told["classes"] = model.hearing.classes
    for name, trusted in (
        ("alone", None),
        ("trusted", splits.trusted.per_class(model_level.TRUSTED)),
    ):
        view = look(model, None, trusted=trusted)
        scores = {d: build(DETECTORS, d).score(view).classes for d in HEARD}
        told[name] = {detector: values.round(4).tolist() for detector, values in scores.items()}
    if job["network"] == CNN.name:  # references of larger networks take too long
        for count, name in ((model_level.TRUSTED, META), (MANY, META_BY_MANY)):
            given = model_level.known_clips(splits, count)
            if min(np.bincount(given.labels)) >= count:
                view = look(model, None, trusted=given, references=model_level.COUNT, cache=cache)
                told[name] = MetaClassifier().score(view).classes.round(4).tolist()
    return told


@functools.cache
def splits_of(name: str, folder: Path) -> Splits:
    """The data of one place."""
    if name == "librispeech-speakers":
        return oto.datasets.librispeech_speakers(folder / "librispeech-10-speakers")
    return oto.datasets.demo() if name == "demo" else catalogue.data(name, folder)


def summary(row: Row) -> str:
    """One line about a new row."""
    place = f"{row['data']}, {row['network']}, {row['attack'] or 'clean'}"
    return f"{place}: accuracy {row['accuracy']:.3f}, attack success {row['attack_success']}"


def main() -> None:
    """Run the rows that are missing, then rebuild the page."""
    page = model_level.PAGE
    complete(__doc__, model_level.ELSEWHERE, jobs, run, summary, page, model_level.page)


if __name__ == "__main__":
    main()
