"""Cleaning poisoned training sets: the tables in docs/cleaning.md.

    python benchmarks/cleaning.py --data ../shared/data             # run what is missing
    python benchmarks/cleaning.py --table                           # rebuild the tables from rows

One row per (task, set, seed, with or without trusted clips) in
``benchmarks/results/cleaning.jsonl``. A set is an attack of the catalogue, a clean training split,
or one where 8 % of the clips carry an honest nuisance under their own label. The detectors were
designed on the attacks of ``DESIGNED_ON`` at seeds from 100 on, and nothing else.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

import catalogue
import otoscope as oto
from cleaning_page import DESIGNED_ON, tables
from otoscope import metrics
from otoscope.auditing import look, scan
from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, carry_out
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.detect import DETECTORS, View
from otoscope.models import AudioModel
from otoscope.networks import CNN
from otoscope.poisoning import Attack, triggered
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from rows import Job, Row, fill, options, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "cleaning.jsonl"
PAGE = HERE.parent / "docs" / "cleaning.md"
MARK = "<!-- tables: python benchmarks/cleaning.py --table -->\n"

SEEDS = (0,)
OF_TASK = {"keywords": (0, 1, 2, 3, 4), "speakers": (0, 1)}
NUISANCE = {"tone": "tone", "hum": "hum", "reverb": "reverb"}
NUISANCE_SHARE = 0.08
WEAK = 0.8
BESIDE = ("vouching", "activation-clustering", "spectral-signatures", "gaussian-mixture")


def jobs() -> Iterator[Job]:
    """Without trusted clips, then with them: the attacks that succeed, and clean sets."""
    for trusted in (0, 10):
        for job in _sets():
            yield job | {"trusted": trusted}


def _sets() -> Iterator[Job]:
    """Attacks that poison data and reach a success rate of 0.8, those to report on first."""
    reached = {
        (row["attack"], row["seed"])
        for row in read(catalogue.ROWS)
        if (row["data"], row["network"]) == ("keywords", "cnn") and row["asr"] >= WEAK
    }
    names = [entry.name for entry in CATALOGUE if not entry.training]
    for seed in SEEDS:
        for name in sorted(names, key=lambda name: name in DESIGNED_ON):
            if (name, seed) in reached:
                yield {"task": "keywords", "set": name, "seed": seed}
        for kind in NUISANCE:
            yield {"task": "keywords", "set": f"clean with {kind}", "seed": seed}
    for task, seeds in OF_TASK.items():
        for seed in seeds:
            yield {"task": task, "set": "clean", "seed": seed}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """Clean one set, train again without what was flagged, and measure both."""
    splits, seed = catalogue.data(job["task"], folder), job["seed"]
    model, clips, poison, cover, attacks = _made(job, splits, cache)
    known = splits.trusted.per_class(10) if job["trusted"] else None
    found = oto.clean(clips, model=model, trusted=known, seed=seed, cache=cache)
    honest = ~poison & ~cover
    row: Row = {
        "n": len(clips),
        "n_poisoned": int(poison.sum()),
        "flagged_poisoned": int(found.flagged[poison].sum()),
        "flagged_clean": int(found.flagged[honest].sum()),
        "poison_rate": found.poison_rate,
        "interval": found.poison_rate_interval,
        "rounds": found.rounds,
        "targets": [source.target for source in found.sources],
        "common": {name: sound.kind for name, sound in found.common.items()},
    }
    if not poison.any():
        return row
    view = look(model, clips, trusted=known, seed=seed, cache=cache)
    row["tpr_at_1"] = {name: _tpr(name, view, poison, honest) for name in BESIDE}
    again = oto.train(CNN(), found.kept, seed=seed + 1, cache=cache)
    for name, listener in (("before", model), ("after", again)):
        measured = [
            oto.risks(listener, splits.test, attack.trigger, attack.shift, seed, cache=cache)
            for attack in attacks
        ]
        row[f"asr_{name}"] = float(np.mean([one.attack_success_rate for one in measured]))
        row[f"ba_{name}"] = measured[0].benign_accuracy
    return row


Mask = Bool[np.ndarray, "clips"]


def _made(
    job: Job, splits: Splits, cache: Cache
) -> tuple[AudioModel, Clips, Mask, Mask, tuple[Attack, ...]]:
    """A model, what it was trained on, which clips are poison and cover, and the attacks."""
    seed, network = job["seed"], CNN()
    for entry in CATALOGUE:
        if entry.name == job["set"]:
            done = carry_out(entry, splits, network, seed, cache=cache)
            assert done.poisoned is not None
            bad = done.poisoned
            return done.model, bad.clips, bad.mask & ~bad.cover, bad.cover, done.attacks
    clips = splits.train
    if job["set"] != "clean":
        kind = job["set"].removeprefix("clean with ")
        clips = _with_nuisance(clips, NUISANCE[kind], seed)
    model = oto.train(network, clips, seed=seed, validation=splits.validation, cache=cache)
    nothing = np.zeros(len(clips), bool)
    return model, clips, nothing, nothing, ()


def _with_nuisance(clips: Clips, trigger: str, seed: int) -> Clips:
    """The same clips; some of every class carry a sound, under their own label."""
    rng = np.random.default_rng(seed)
    drawn = np.flatnonzero(rng.random(len(clips)) < NUISANCE_SHARE)
    items = list(clips.items)
    for i in drawn.tolist():
        samples = triggered(clips, build(TRIGGERS, trigger), i, seed)
        items[i] = clips.with_audio(i, samples, clips[i].label)
    return replace(clips, items=tuple(items))


def _tpr(name: str, view: View, poison: Mask, honest: Mask) -> float | None:
    """True-positive rate at 1 % false positives."""
    scores = scan(build(DETECTORS, name), view).scores
    if scores is None or scores.clips is None:
        return None
    some = poison | honest
    return metrics.tpr_at_fpr(scores.clips[some], poison[some], 0.01)


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['task']} {row['set']} seed {row['seed']} trusted {row['trusted']}: "
        f"{row['flagged_poisoned']} of {row['n_poisoned']} poisoned, {row['flagged_clean']} clean, "
        f"rate {row['poison_rate']:.4f}, ASR {row.get('asr_before')} -> {row.get('asr_after')}"
    )


def page() -> str:
    """docs/cleaning.md with its tables made from the rows."""
    words, _, _ = PAGE.read_text().partition(MARK)
    return words + MARK + tables(read(ROWS))


def main() -> None:
    """Run the rows that are missing, then rebuild the page."""
    chosen = options(__doc__)
    if not chosen.table:
        cache = Cache.default()
        fill(ROWS, jobs(), lambda job: run(job, chosen.data, cache), chosen.part, summary)
    PAGE.write_text(page())
    print(PAGE)


if __name__ == "__main__":
    main()
