"""Cleaning poisoned training sets: the tables in docs/cleaning.md.

    python benchmarks/cleaning.py --data ../shared/data             # run what is missing
    python benchmarks/cleaning.py --table                           # rebuild the tables from rows

One row per (task, network, set, rate, seed) in ``benchmarks/results/cleaning.jsonl``, each with ten
trusted clips a class and with none. A set is an attack of the catalogue at a poison rate, a clean
training split, or one where 8 % of the clips carry an honest nuisance under their own label. The
detectors were designed on the attacks of ``DESIGNED_ON`` and on clean sets, at seeds from 100 on,
and nothing else; only the other attacks are here.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

import catalogue
import otoscope as oto
from cleaning_page import DESIGNED_ON, tables
from otoscope import metrics
from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, Entry, carry_out
from otoscope.cleaning import Cleaned
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.models import AudioModel
from otoscope.networks import CNN, NETWORKS
from otoscope.poisoning import Attack, with_sound
from otoscope.redteam.hardening import NUISANCE_SHARE
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from rows import Job, Row, below, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "cleaning.jsonl"
PAGE = HERE.parent / "docs" / "cleaning.md"
MARK = "<!-- tables: python benchmarks/cleaning.py --table -->\n"

RATES = (0.03, 0.01, 0.005, 0.1)
CLEAN = (
    ("keywords", "cnn", "clean", 0),
    ("keywords", "cnn", "clean with hum", 0),
    ("speakers", "cnn", "clean", 0),
    ("keywords", "gru-attention", "clean", 0),
    ("keywords", "cnn", "clean with reverb", 1),
    ("speakers", "cnn", "clean with tone", 1),
    ("keywords", "cnn", "clean", 1),
    ("keywords", "cnn", "clean", 2),
    ("speakers", "cnn", "clean", 1),
    ("keywords", "gru-attention", "clean", 1),
)
"""Task, network, set, seed: ten clean training sets, three of them with a nuisance."""

NUISANCE = {"tone": "tone", "hum": "hum", "reverb": "reverb"}
WEAK = 0.8
PROVEN_RATE = 0.05
"""Rate from which a clean-label attack takes its clips from one class alone: most of that class."""


def jobs() -> Iterator[Job]:
    """Clean sets, each attack at one rate, some of them elsewhere; then all at the next rate.

    So that whatever part of it has been run is a fair sample of the whole.
    """
    names = held_out()
    for task, network, name, seed in CLEAN:
        yield _job(task, network, name, 0.0, seed)
    for turn in range(len(RATES)):
        for number, name in enumerate(names):
            rate = RATES[(number + turn) % len(RATES)]
            yield _job("keywords", "cnn", name, rate, turn % 3)
        for number, name in enumerate(names[turn :: len(RATES)]):
            task, network = ("speakers", "cnn") if number % 2 else ("keywords", "gru-attention")
            yield _job(task, network, name, RATES[0], turn % 3)


def _job(task: str, network: str, name: str, rate: float, seed: int) -> Job:
    return {"task": task, "network": network, "set": name, "rate": rate, "seed": seed}


def held_out() -> list[str]:
    """The attacks that nothing was designed on, and that succeed."""
    names = [entry.name for entry in CATALOGUE if not entry.training]
    return [name for name in names if name not in DESIGNED_ON and name in _succeeds()]


def _succeeds() -> set[str]:
    """The attacks whose mean success rate in the catalogue's rows reaches ``WEAK``."""
    found: dict[str, list[float]] = {}
    for row in read(catalogue.ROWS):
        if (row["data"], row["network"]) == ("keywords", "cnn"):
            found.setdefault(row["attack"], []).append(row["asr"])
    return {name for name, rates in found.items() if np.mean(rates) >= WEAK}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """Clean one set with and without trusted clips, train again, and measure."""
    splits, seed = catalogue.data(job["task"], folder), job["seed"]
    model, clips, poison, cover, attacks = made(job, splits, cache)
    honest = ~poison & ~cover
    row: Row = {"n": len(clips), "n_poisoned": int(poison.sum())}
    if attacks:
        row["asr"], row["ba"] = measured(model, splits, attacks, seed, cache)
        at_random = np.ones(len(clips), bool)
        at_random[np.random.default_rng(seed).permutation(len(clips))[: poison.sum()]] = False
        for bound, left in (("perfect", ~poison), ("random", at_random)):
            row[bound] = _after(clips.subset(left), splits, attacks, seed, cache)
    for way, known in (("trusted", splits.trusted.per_class(10)), ("alone", None)):
        found = oto.clean(clips, model=model, trusted=known, seed=seed, cache=cache)
        row[way] = _outcome(found, poison, honest)
        if not attacks:
            continue
        scores, truth = found.scores[poison | honest], poison[poison | honest]
        row[way]["auroc"] = metrics.auroc(scores, truth)
        row[way]["tpr_at_1"] = metrics.tpr_at_fpr(scores, truth, 0.01)
        row[way] |= _after(found.kept, splits, attacks, seed, cache)
    return row


def _outcome(found: Cleaned, poison: "Mask", honest: "Mask") -> dict[str, Any]:
    return {
        "flagged_poisoned": int(found.flagged[poison].sum()),
        "flagged_clean": int(found.flagged[honest].sum()),
        "poison_rate": found.poison_rate,
        "interval": found.poison_rate_interval,
        "rounds": found.rounds,
        "targets": [source.target for source in found.sources],
        "common": {name: sound.kind for name, sound in found.common.items()},
    }


def measured(
    model: AudioModel, splits: Splits, attacks: tuple[Attack, ...], seed: int, cache: Cache
) -> tuple[float, float]:
    """Attack success, the mean over the attacks, and benign accuracy."""
    risks = [
        oto.risks(model, splits.test, attack.trigger, attack.shift, seed, cache=cache)
        for attack in attacks
    ]
    return float(np.mean([one.attack_success_rate for one in risks])), risks[0].benign_accuracy


def _after(
    kept: Clips, splits: Splits, attacks: tuple[Attack, ...], seed: int, cache: Cache
) -> dict[str, float]:
    """The risks of a network that is trained again, on what is kept."""
    again = oto.train(CNN(), kept, seed=seed + 1, cache=cache)
    asr, ba = measured(again, splits, attacks, seed, cache)
    return {"asr": asr, "ba": ba}


Mask = Bool[np.ndarray, "clips"]


def made(
    job: Job, splits: Splits, cache: Cache
) -> tuple[AudioModel, Clips, Mask, Mask, tuple[Attack, ...]]:
    """A model, what it was trained on, which clips are poison and cover, and the attacks."""
    seed, network = job["seed"], build(NETWORKS, job["network"])
    for entry in CATALOGUE:
        if entry.name == job["set"]:
            done = carry_out(at_rate(entry, job["rate"]), splits, network, seed, cache=cache)
            assert done.poisoned is not None
            bad = done.poisoned
            return done.model, bad.clips, bad.mask & ~bad.cover, bad.cover, done.attacks
    clips = splits.train
    if job["set"] != "clean":
        kind = job["set"].removeprefix("clean with ")
        drawn = np.random.default_rng(seed).random(len(clips)) < NUISANCE_SHARE
        sound = build(TRIGGERS, NUISANCE[kind])
        clips = with_sound(clips, sound, np.flatnonzero(drawn), seed)
    model = oto.train(network, clips, seed=seed, validation=splits.validation, cache=cache)
    nothing = np.zeros(len(clips), bool)
    return model, clips, nothing, nothing, ()


def at_rate(entry: Entry, rate: float) -> Entry:
    """The attack with so much poison in all, and as much cover where it has any.

    Attacks that take all their clips from one class stay at 5 %: more than that is not there.
    """
    narrow = entry.labels.startswith(("clean-label", "source-specific"))
    each = min(rate, PROVEN_RATE) if narrow else rate / (1 + len(entry.also))
    return replace(entry, rate=each, cover_rate=each if entry.cover_rate else 0.0)


def summary(row: Row) -> str:
    """One line about a new row."""
    ways = ", ".join(
        f"{way} {row[way]['flagged_poisoned']} + {row[way]['flagged_clean']} clean"
        f" ASR {row[way].get('asr')}"
        for way in ("trusted", "alone")
    )
    return (
        f"{row['task']} {row['network']} {row['set']} {row['rate']} seed {row['seed']}: "
        f"{row['n_poisoned']} poisoned, ASR {row.get('asr')}; {ways}"
    )


def page() -> str:
    """docs/cleaning.md with its tables made from the rows."""
    return below(PAGE, MARK, tables(read(ROWS)))


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
