"""Tests on models whose truth is known: the tables in docs/model-level.md.

    otoscope zoo ZOO --data arabic-speech-commands:root=... --data arabic-speakers:root=... \\
        --after 3 --rounds 2 --rows benchmarks/results/zoo_third.jsonl  # the third zoo's models
    python benchmarks/model_level.py --zoo ZOO --data ../shared/data    # run what is missing
    python benchmarks/model_level.py --zoo ZOO --which second --alone   # with the model alone
    python benchmarks/model_level.py --table                            # the tables from rows
    python benchmarks/model_level.py --priors                           # otoscope/priors.json

One row per (model of the zoo, detector). Detectors were designed on the design halves of the first
two zoos; how often a sequestered half was scored, docs/model-level.md tells. The second zoo is the
recipe of the first on another machine, which trains other models by the same seeds; the third has
seeds of its own (``--after 3``). The files of the first two are gone.
"""

import argparse
import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

import catalogue
import otoscope as oto
from model_level_page import PROBABILITIES, elsewhere, learned_from, tables
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.calibrate import (
    ANY_NETWORK,
    class_distances,
    class_outlier_p_values,
    reference_p_values,
)
from otoscope.calibrating import FROM_BABBLE, LOG_ODDS, OWN, REFERENCES, among_alike, standing
from otoscope.checkpoints import load_checkpoint
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.detect import DETECTORS, MetaClassifier
from otoscope.detect.model_meta_classifier import LEARNED
from otoscope.detect.profiles import reference_profiles
from otoscope.errors import AudioError, SpecError
from otoscope.evidence import Recovered
from otoscope.likeness import likeness
from otoscope.models import TorchModel
from otoscope.networks import CNN
from otoscope.registry import build, spec
from otoscope.triggers import Trigger
from otoscope.zoo import EPOCHS, FAMILIES, ONE_SOURCE, entry_of, is_backdoored, is_clean
from rows import DATA, PRIORS, Job, Row, fill, read
from shadow_models import Mntd, learned

HERE = Path(__file__).parent
ZOO_ROWS = HERE / "results" / "zoo.jsonl"
ROWS = HERE / "results" / "model_level.jsonl"
REBUILT_ZOO = HERE / "results" / "zoo_rebuilt.jsonl"
REBUILT = HERE / "results" / "model_level_rebuilt.jsonl"
THIRD_ZOO = HERE / "results" / "zoo_third.jsonl"
THIRD = HERE / "results" / "model_level_third.jsonl"
ZOOS = {
    "first": (ZOO_ROWS, ROWS),
    "second": (REBUILT_ZOO, REBUILT),
    "third": (THIRD_ZOO, THIRD),
}
ELSEWHERE = HERE / "results" / "elsewhere.jsonl"
PAGE = HERE.parent / "docs" / "model-level.md"
MARK = "<!-- tables: python benchmarks/model_level.py --table -->\n"

COUNT = 8
"""Reference models of every look with trusted clips."""

TRUSTED = 10
FEWEST = 12
"""A law of fewer clean models is not shipped."""

DETECTORS_RUN = (
    "probing",
    "weight-statistics",
    "maximum-margin",
    "universal-perturbation",
    "sound-inversion",
    "trigger-inversion",
)
MNTD = "mntd"
"""No detector of ours: the meta-classifier of ``shadow_models``."""

CURVE = (1, 3, 30)
"""Trusted clips a class at which probing is measured besides, on the sequestered half."""

ALONE = ("probing", "universal-perturbation", "trigger-inversion", "sound-inversion")
"""What searches where there is nothing but a model."""

KIND = {"arabic-speech-commands": "keywords", "arabic-speakers": "speakers"}


@dataclass(frozen=True)
class Zoo:
    """The models in a folder, and the file of their rows."""

    folder: Path
    rows: Path

    def counted(self, split: str) -> list[Row]:
        """The models of a half that are clean, or backdoored well enough to count."""
        known = read(self.rows)
        return [r for r in known if r["split"] == split and (is_clean(r) or is_backdoored(r))]

    def row(self, file: str) -> Row:
        """The row of a model."""
        return next(row for row in read(self.rows) if row["file"] == file)

    def load(self, row: Row) -> TorchModel:
        """The model of a row."""
        return load_checkpoint(self.folder / row["file"])


def jobs(zoo: Zoo, detectors: Sequence[str], split: str, trusted: Sequence[int]) -> Iterator[Job]:
    """Every model that is clean, or backdoored well enough to count, under every detector, with
    each number of trusted clips a class."""
    for data in KIND:
        yield {"model": data, "detector": "training"}
    for name in detectors:
        for row in zoo.counted(split):
            job = {"model": row["file"], "sha256": row["sha256"], "detector": name}
            yield from ({**job, "trusted": count} for count in trusted)


def run_training(job: Job, folder: Path) -> Row:
    """What it takes to train one model of the zoo, the unit of cost."""
    splits = catalogue.data(KIND[job["model"]], folder)
    started = time.process_time()
    oto.train(
        CNN(),
        splits.train,
        seed=0,
        validation=splits.validation,
        recipe=oto.training.Recipe(epochs=EPOCHS),
    )
    return {"cpu_seconds": round(time.process_time() - started, 2)}


def run(job: Job, zoo: Zoo, folder: Path, cache: Cache) -> Row:
    """Score one model, calibrated by references (where the detector knows how) and by its own
    classes."""
    if job["detector"] == "training":
        return run_training(job, folder)
    row = zoo.row(job["model"])
    truth = {name: row[name] for name in ("attack", "family", "split", "data")}
    truth["true_targets"] = row["targets"]
    model = zoo.load(row)
    if job["detector"] == MNTD:
        judge = _mntd(row["data"], _fold(row, zoo), zoo, folder)
        started = time.process_time()
        score = judge.score(model)
        return truth | {"score": score, "cpu_seconds": round(time.process_time() - started, 2)}
    trusted = _trusted(row["data"], folder, job["trusted"])
    detector = build(DETECTORS, job["detector"])
    references = COUNT if trusted else 0
    view = look(model, None, trusted=trusted, references=references, cache=cache)
    started = time.process_time()
    scores = detector.score(replace(view, cache=None))  # what is remembered costs nothing
    seconds = time.process_time() - started
    own = scores.classes
    found: Row = truth | {
        "classes": [round(float(x), 5) for x in own],
        "own_distance": float(class_distances(own).max()),
        "own_p": float(class_outlier_p_values(own).min()),
        "own_target": model.hearing.classes[int(own.argmax())],
        "cpu_seconds": round(seconds, 2),
    }
    best = found["own_target"]
    if scores.profile is not None and view.references:
        profiles = reference_profiles(detector, view)
        apart, p_values = reference_p_values(scores.profile, profiles)
        best = model.hearing.classes[int(apart.argmax())]
        found |= {
            "reference_p": float(p_values.min()),
            "reference_score": float(apart.max()),
            "apart": [round(float(x), 4) for x in apart],
            "references": [round(float(x), 5) for x in profiles.mean(axis=(0, 1))],
            "reference_target": best,
        }
    if scores.recover:
        recovered = scores.recover(model.hearing.classes.index(best))
        found |= {"recovered": recovered.what, "recovered_success": recovered.success}
        found |= _beside_the_truth(recovered, row, model.hearing.classes)
    return found


def _beside_the_truth(recovered: Recovered, row: Row, classes: tuple[str, ...]) -> Row:
    """How like a recovered trigger is to the true one, and to how many others it is less so.

    The others are the triggers of all attacks of the zoo, equal ones once. Of an attack with
    several triggers, the one that it is likest to counts. Empty for a clean model, for a class that
    is no target, and where an attack has no trigger that settings describe.
    """
    if recovered.target not in row["targets"]:
        return {}
    own = _triggers(row["attack"], classes, row["seed"])
    others = {
        settings: trigger
        for attack in chain(*FAMILIES.values())
        for settings, trigger in _triggers(attack, classes, row["seed"]).items()
        if settings not in own
    }
    found, usual = (
        [likeness(recovered.sound, sound, recovered.sample_rate) for sound in sounds]
        for sounds in (
            _sounds(own, row["seed"], recovered),
            _sounds(others, row["seed"], recovered),
        )
    )
    if not found:
        return {}
    told: Row = {"others": len(usual)}
    for measure in ("correlation", "intersection"):
        best = max(getattr(one, measure) for one in found)
        less = [getattr(one, measure) < best for one in usual]
        told |= {measure: round(best, 4), f"{measure}_rank": round(float(np.mean(less)), 4)}
    return told


def _triggers(attack: str, classes: tuple[str, ...], seed: int) -> dict[str, Trigger]:
    """An attack's triggers by their settings, equal ones once."""
    made = (one.trigger for one in entry_of(attack).attacks(classes, seed))
    return {json.dumps(spec(trigger), sort_keys=True): trigger for trigger in made}


def _sounds(triggers: Mapping[str, Trigger], seed: int, recovered: Recovered) -> list[np.ndarray]:
    """What triggers change in the clip that a recovered one was put in."""
    before, sounds = recovered.before, []
    for trigger in triggers.values():
        try:
            after = trigger.embed(before[None], recovered.sample_rate, (seed,))[0]
        except (SpecError, AudioError):
            continue
        sounds.append(after - before)
    return sounds


@functools.cache
def _trusted(data: str, folder: Path, count: int = TRUSTED) -> Clips | None:
    return known_clips(catalogue.data(KIND[data], folder), count) if count else None


def known_clips(splits: Splits, count: int) -> Clips:
    """So many clips a class, the trusted ones first; of speakers, no more than 24 are there."""
    few = min(np.bincount(splits.trusted.labels))
    if count <= few:
        return splits.trusted.per_class(count)
    return splits.trusted.per_class(few).joined(splits.validation.per_class(count - few))


def _shadows(data: str, zoo: Zoo) -> list[Row]:
    """MNTD's shadow models: the design half without what was added to it later."""
    known = [row for row in zoo.counted("design") if row["family"] != ONE_SOURCE]
    return [row for row in known if row["data"] == data]


def _fold(row: Row, zoo: Zoo) -> int | None:
    """Which half of the shadow models a model belongs to; None for a sequestered one."""
    known = [shadow["file"] for shadow in _shadows(row["data"], zoo)]
    return known.index(row["file"]) % 2 if row["file"] in known else None


@functools.cache
def _mntd(data: str, fold: int | None, zoo: Zoo, folder: Path) -> Mntd:
    """Learned from the design models of this data, without those of a fold."""
    rows = [row for i, row in enumerate(_shadows(data, zoo)) if fold is None or i % 2 != fold]
    shadows = [zoo.load(row) for row in rows]
    trusted = _trusted(data, folder)
    assert trusted is not None
    return learned(shadows, [is_backdoored(row) for row in rows], trusted, 0)


def summary(row: Row) -> str:
    """One line about a new row."""
    if row["detector"] == "training":
        return f"training on {row['model']}: {row['cpu_seconds']} s"
    if "score" in row:
        return f"{row['detector']} {row['model']}: {row['score']:.2f}"
    p = row.get("reference_p", row["own_p"])
    return f"{row['detector']} {row['model']}: p {p:.4f}, {row['cpu_seconds']} s"


def page() -> str:
    """docs/model-level.md with its tables made from the rows."""
    words, _, _ = PAGE.read_text().partition(MARK)
    zoos = [(read(rows), read(zoo)) for zoo, rows in ZOOS.values()]
    return words + MARK + tables(*zoos) + "\n" + elsewhere(read(ELSEWHERE))


def write_priors() -> None:
    """How far the furthest class of the clean models of the design half stands out, by detector and
    number of classes, and what the meta-classifier learns there."""
    first, rebuilt, third = (_laws(read(path)) for path in (ROWS, REBUILT, THIRD))
    # a model and its rebuilt one are too alike to count as two
    known = rebuilt | first | {key: law for key, law in rebuilt.items() if key[1] != REFERENCES}
    for key, values in third.items():
        known[key] = [*known.get(key, []), *values]
    priors = json.loads(PRIORS.read_text())
    for detector in sorted({detector for detector, _, _ in known}):
        laws = {
            among_alike(law, classes): values
            for (name, law, classes), values in known.items()
            if name == detector and len(values) >= FEWEST
        }
        priors[build(DETECTORS, detector).law] = {CNN.name: laws}
    weights, by_classes = learned_from(read(REBUILT), read(THIRD), PROBABILITIES)
    rounded = {LEARNED: [round(x, 4) for x in weights]}
    for classes, odds in by_classes.items():
        name = among_alike(LOG_ODDS, classes)
        rounded[name] = [*rounded.get(name, []), *(round(x, 4) for x in odds)]
    priors[MetaClassifier.name] = {ANY_NETWORK: rounded}
    PRIORS.write_text(json.dumps(priors, indent=1) + "\n")


def _laws(rows: Sequence[Row]) -> dict[tuple[str, str, int], list[float]]:
    """By detector, law and number of classes, what each clean model of the design half scores."""
    known: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        if row.get("split") != "design" or row["attack"] is not None or "classes" not in row:
            continue
        told = standing(build(DETECTORS, row["detector"]), np.array(row["classes"]))
        laws = {OWN if row["trusted"] else FROM_BABBLE: float(told.max())}
        if "reference_score" in row:
            laws[REFERENCES] = row["reference_score"]
        for law, value in laws.items():
            key = (row["detector"], law, len(row["classes"]))
            known.setdefault(key, []).append(round(value, 4))
    return known


def main() -> None:
    """Run the rows that are missing, then rebuild the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--zoo", type=Path, help="folder of the models")
    parser.add_argument("--which", choices=ZOOS, default="third", help="whose rows these are")
    parser.add_argument("--detector", action="append", choices=(*DETECTORS_RUN, MNTD))
    parser.add_argument("--split", choices=("design", "sequestered"), default="design")
    parser.add_argument("--curve", action="store_true", help="other numbers of trusted clips")
    parser.add_argument("--alone", action="store_true", help="with the model alone")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th row, for n processes")
    parser.add_argument("--table", action="store_true", help="only rebuild the page")
    parser.add_argument("--priors", action="store_true", help="only rebuild the priors")
    chosen = parser.parse_args()
    if chosen.priors:
        write_priors()
        return
    if not chosen.table:
        if chosen.zoo is None:
            parser.error("--zoo FOLDER tells where the models are")
        cache = Cache.default()
        known, told = ZOOS[chosen.which]
        zoo = Zoo(chosen.zoo, known)
        detectors = chosen.detector or (ALONE if chosen.alone else DETECTORS_RUN)
        trusted = (0,) if chosen.alone else CURVE if chosen.curve else (TRUSTED,)
        todo = jobs(zoo, detectors, chosen.split, trusted)
        fill(told, todo, lambda j: run(j, zoo, chosen.data, cache), chosen.part, summary)
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
