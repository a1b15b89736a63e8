"""Attackers that search, against our own detectors: the tables in docs/redteam-results.md.

    python benchmarks/redteam.py --data ../shared/data              # run what is missing
    python benchmarks/redteam.py --table                            # rebuild the tables from rows

Twenty kinds of rows in ``benchmarks/results/redteam.jsonl``: "search", one strategy with one
attacker's seed; "decided", one of the best attacks of one search, over three other trainings, with
all watchers; "clean", what these say of a model without a backdoor; "harden", a search against the
audit that was chosen by all of these; "replayed", an attack that worked in a search, carried out
anew by another seed, so with another target, other clips and another training; "retested" and
"retested clean", the same by other seeds against the audit of a later day, and what that says of
fresh models without a backdoor; "hidden", the same attacks in a training that hides their poison,
and as they are; "hidden clean", fresh models without a backdoor again; "attacked", a search with
that audit and cleaning in view; "long", a search of 200 queries by another seed; "met", one of the
best attacks of a long search, in one more training, before the audit of that day, and "met clean",
fresh models without a backdoor before the same; "met again" and "met again clean", all of these
that worked, by another seed, so with another target, before the audit of a later day; "long
elsewhere", "met elsewhere" and "met elsewhere clean", shorter searches on speakers; "signatures",
what a detector that is fitted on some of the attacks that all these searches found catches of the
others; "stages", the cheap stage of what a search retrained, for the rank correlations between
stages. The bounds and budgets below stand in the page's words, too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import catalogue
import redteam_long_page
from otoscope.cache import Cache
from otoscope.datasets import Splits
from otoscope.redteam import STRATEGIES, Arena, Budget, Campaign, Outcome, search, strategy_named
from otoscope.redteam.arena import IMPOSSIBLE, IN_VIEW
from otoscope.redteam.context import Context
from otoscope.redteam.hardening import CLEAN_SEEDS, NUISANCES, choose, with_nuisance
from otoscope.redteam.outcomes import Access, Bounds, reward
from otoscope.redteam.signatures import caught_next
from otoscope.redteam.strategy import Bins
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from redteam_page import ATTACKED, AUDITS, HIDDEN, RETESTED, WATCHED, tables, working
from rows import Job, Row, below, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "redteam.jsonl"
PAGE = HERE.parent / "docs" / "redteam-results.md"
MARK = "<!-- tables: python benchmarks/redteam.py --table -->\n"

PER_CLASS = 60
"""Training clips of each class: a third of the data set, so that a training takes a third."""

BUDGET = Budget(screened=30, retrained=5, decided=0, seeds=3)
"""Of a search; its best attacks that work are decided by rows of their own."""

HARDENING = Budget(screened=16, retrained=3, decided=1, seeds=3)
"""Of a search against the hardened audit, whose watchers take longer."""

SEEDS = (0, 1)
CLEAN = 3
ROUNDS = 2
HARDENED_BY = "bayesian"
"""MAP-Elites draws its first 20 attacks at random, more than such a round screens."""

PLACES = 3
REPLAYED, REPLAY_SEED = 10, 102
"""So many attacks of the searches of the first seed worked."""

RETEST_SEEDS, RETEST_CLEAN = (103, 104), 6

HIDING_WEIGHT, HIDDEN_SEEDS = 0.3, (104, 105)

ATTACKING = Budget(screened=60, retrained=6, decided=1, seeds=3)
"""Of a search against what a user runs: the audit as shipped, and cleaning."""

KNOWING = Budget(screened=40, retrained=8, decided=1, seeds=3)
"""Of such a search that starts from the ten attacks that worked before."""

ATTACKERS = ("map-elites", "bayesian", "cma-es", "ppo", "random")
ATTACK_SEEDS = (201, 202, 203, 204, 205)

LONG, LONG_SEEDS = Budget(screened=200, retrained=10, decided=0), (300, 301)
"""The budget that was the goal of all searches; less is retrained than its 20."""

LONG_STRATEGIES = ("random", "bayesian", "cma-es", "ppo", "map-elites", "catalogue")
MET_PLACES, MET_CLEAN = 10, 6
AGAIN_SEED = 310

ELSEWHERE = Budget(screened=60, retrained=6, decided=0)
"""Of a search on speakers, whose trainings take longer."""

ELSEWHERE_SEED, ELSEWHERE_STRATEGIES = 320, ("bayesian", "map-elites", "cma-es")

SEARCHES = ("search", "long", "long elsewhere", "harden", "attacked")
BUDGETS = {"search": BUDGET, "long": LONG, "long elsewhere": ELSEWHERE}
FOUND_BY = {"decided": "search", "met": "long", "met elsewhere": "long elsewhere"}
KNOWN, SIGNED_PER_CLASS = (1, 2, 4, 8, 16), 15
"""So many attacks a detector is fitted on; on so many clips of each class."""


def jobs() -> Iterator[Job]:
    """One seed's searches and their best attacks, clean models, hardening, stages, other seeds."""
    first, *others = SEEDS
    yield from _of_seed(first)
    for number in range(CLEAN):
        yield {"kind": "clean", "task": "keywords", "round": 0, "number": number}
    yield from _of_round(1)
    for place in range(REPLAYED):
        yield {"kind": "replayed", "task": "keywords", "seed": REPLAY_SEED, "place": place}
    for seed in RETEST_SEEDS:
        for place in range(REPLAYED):
            yield {"kind": "retested", "task": "keywords", "seed": seed, "place": place}
        for number in range(RETEST_CLEAN):
            job: Job = {"kind": "retested clean", "task": "keywords", "seed": seed}
            yield job | {"number": number}
    for seed in HIDDEN_SEEDS:
        again: Job = {"task": "keywords", "seed": seed}
        for place in range(REPLAYED):
            yield again | {"kind": "hidden", "place": place, "weight": HIDING_WEIGHT}
    for number in range(RETEST_CLEAN):
        fresh: Job = {"kind": "hidden clean", "task": "keywords", "seed": HIDDEN_SEEDS[-1]}
        yield fresh | {"number": number}
    blank: Job = {"kind": "attacked", "task": "keywords"}
    yield blank | {"strategy": "bayesian", "seed": 200}
    for seed in ATTACK_SEEDS:
        for name in ATTACKERS:
            for access in ("scores", "white-box"):
                yield blank | {"strategy": name, "seed": seed, "start": "known", "access": access}
    for seed in LONG_SEEDS:
        yield from _long({"task": "keywords", "seed": seed}, LONG_STRATEGIES)
    yield from _again()
    there: Job = {"task": "speakers", "seed": ELSEWHERE_SEED}
    yield from _long(there, ELSEWHERE_STRATEGIES, " elsewhere")
    for name in STRATEGIES:
        yield {"kind": "stages", "task": "keywords", "strategy": name, "seed": first}
    for number in range(2, ROUNDS + 1):
        yield from _of_round(number)
    for seed in others:
        yield from _of_seed(seed)
    yield {"kind": "signatures", "task": "keywords"}


def _long(job: Job, strategies: Sequence[str], where: str = "") -> Iterator[Job]:
    """The long searches; what they found, the best of each first; clean models in between."""
    for name in strategies:
        yield job | {"kind": f"long{where}", "strategy": name}
    for place in range(MET_PLACES):
        for name in strategies:
            yield job | {"kind": f"met{where}", "strategy": name, "place": place}
        if place < MET_CLEAN:
            yield job | {"kind": f"met{where} clean", "number": place}


def _again() -> Iterator[Job]:
    """What the first long searches found, by another seed, and clean models."""
    job: Job = {"task": "keywords", "seed": AGAIN_SEED}
    for place in range(MET_PLACES):
        yield job | {"kind": "met again", "place": place}
        if place < MET_CLEAN:
            yield job | {"kind": "met again clean", "number": place}


def _of_round(number: int) -> Iterator[Job]:
    """A search against the audit that was hardened so far, and fresh clean models."""
    yield {"kind": "harden", "task": "keywords", "strategy": HARDENED_BY, "round": number}
    for k in range(len(NUISANCES)):
        yield {"kind": "clean", "task": "keywords", "round": number, "number": k}


def _of_seed(seed: int) -> Iterator[Job]:
    """A search of every strategy, then the decisions on what they found, the best ones first."""
    for name in STRATEGIES:
        yield {"kind": "search", "task": "keywords", "strategy": name, "seed": seed}
    for place in range(PLACES):
        for name in STRATEGIES:
            job: Job = {"kind": "decided", "task": "keywords", "strategy": name, "seed": seed}
            yield job | {"place": place}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """One row, of the kind that the job names."""
    splits = _smaller(catalogue.data(job["task"], folder))
    kinds = {
        "search": _search,
        "decided": _decided,
        "clean": _clean,
        "harden": _harden,
        "replayed": _replayed,
        "retested": _replayed,
        "retested clean": _clean,
        "hidden": _replayed,
        "hidden clean": _clean,
        "attacked": _attacked,
        "long": _search,
        "met": _decided,
        "met clean": _clean,
        "long elsewhere": _search,
        "met elsewhere": _decided,
        "met elsewhere clean": _clean,
        "met again": _replayed,
        "met again clean": _clean,
        "signatures": _signatures,
        "stages": _stages,
    }
    return kinds[job["kind"]](job, splits, cache)


def _search(job: Job, splits: Splits, cache: Cache) -> Row:
    arena = Arena(splits, seed=job["seed"], cache=cache)
    return _campaign_told(_searched(job["strategy"], arena, BUDGETS[job["kind"]]))


def _decided(job: Job, splits: Splits, cache: Cache) -> Row:
    """One attack of a search that was done before; none where so many did not work in it.

    What another search of the same seed found, too, is not measured twice.
    """
    met = job["kind"].startswith("met")
    known = [row for row in read(ROWS) if row.get("seed") == job["seed"]]
    searched = (FOUND_BY[job["kind"]], job["strategy"])
    (found,) = (r for r in known if (r["kind"], r.get("strategy")) == searched)
    worked = [one for one in found["attacks"] if one["works"]]
    if len(worked) <= job["place"]:
        return {"attacks": []}
    bins = sorted(worked, key=_merit, reverse=True)[job["place"]]["bins"]
    done = [row for row in known if row["kind"] == job["kind"] and _of(row, bins)]
    if done:
        return {"attacks": [_of(done[0], bins)]}
    arena = Arena(splits, seed=job["seed"], held_out=() if met else WATCHED, cache=cache)
    seeds = Campaign(arena, BUDGET).deciding_seeds
    try:
        if met:
            outcome = arena.retrain(tuple(bins), seeds[0], _watchers(job, arena))
        else:
            outcome = arena.decide(tuple(bins), seeds)
    except IMPOSSIBLE:  # with another draw of clips
        return {"attacks": []}
    return {"attacks": [_told(arena, tuple(bins), outcome)]}


def _merit(attack: dict[str, Any]) -> tuple[bool, float]:
    """What ``Campaign.ranked`` goes by."""
    outcome = _outcome(attack)
    bounds = Bounds()
    return outcome.evades(IN_VIEW, bounds), reward(outcome, IN_VIEW, bounds, "scores")


def _outcome(attack: dict[str, Any]) -> Outcome:
    """An attack of a row, as far as rows tell of it: not its accuracy."""
    return Outcome(
        attack["success"],
        float("nan"),
        attack["accuracy_drop"],
        attack["spectral_distance_db"],
        attack["snr_db"],
        attack["stage"],
        suspicion=attack["suspicion"],
    )


def _of(row: Row, bins: Sequence[int]) -> dict[str, Any]:
    """What a row tells of an attack; empty where it tells nothing."""
    return next((one for one in row["attacks"] if one["bins"] == list(bins)), {})


def _clean(job: Job, splits: Splits, cache: Cache) -> Row:
    """One model trained without poison, on clean data or with an honest nuisance in them."""
    sound = NUISANCES[job["number"] % len(NUISANCES)]
    seed = CLEAN_SEEDS + 1000 * job.get("round", job.get("seed")) + job["number"]
    arena = Arena(splits, cache=cache)
    clips = with_nuisance(splits.train, sound, seed)
    suspicion = arena.false_alarm(clips, seed, _watchers(job, arena))
    return {"nuisance": sound.name if sound else None, "suspicion": suspicion}


def _harden(job: Job, splits: Splits, cache: Cache) -> Row:
    """Choose the audit by all that was found before this round, then attack that one."""
    before = [row for row in read(ROWS) if row.get("round", 0) < job["round"]]
    attacks = working([row for row in before if "attacks" in row], "decided")
    clean = [row["suspicion"] for row in before if row["kind"] == "clean"]
    chosen = choose(AUDITS, [_outcome(one) for one in attacks], clean)
    held_out = tuple(name for name in WATCHED if name != chosen)
    seed = 100 + job["round"]
    arena = Arena(splits, seed=seed, in_view=(chosen,), held_out=held_out, cache=cache)
    campaign = _searched(job["strategy"], arena, HARDENING)
    return {"chosen": chosen} | _campaign_told(campaign)


def _known(kind: str = "search", seed: int = SEEDS[0]) -> list[Bins]:
    """The attacks that worked in one seed's searches, those that evaded best first."""
    before = [row for row in read(ROWS) if row["kind"] == kind and row["seed"] == seed]
    best = sorted(working(before, "retrained"), key=_merit, reverse=True)
    return [tuple(one["bins"]) for one in best]


def _replayed(job: Job, splits: Splits, cache: Cache) -> Row:
    """One attack that worked before, as all watchers see it."""
    again = job["kind"] == "met again"
    known = _known("long", LONG_SEEDS[0]) if again else _known()
    if len(known) <= job["place"]:
        return {"attacks": []}
    bins = known[job["place"]]
    arena = Arena(splits, seed=job["seed"], cache=cache)
    try:
        if job["kind"] == "hidden":
            return _hidden(arena, bins, job["weight"])
        outcome = arena.retrain(bins, arena.first_seed, _watchers(job, arena))
    except IMPOSSIBLE:  # with another target
        return {"attacks": []}
    return {"attacks": [_told(arena, bins, outcome)]}


def _hidden(arena: Arena, bins: Bins, hiding_weight: float) -> Row:
    """An attack as it is, and hidden by the training."""
    hiding = replace(arena, hides=True)
    told = []
    for weight in (0.0, hiding_weight):
        longer = _hiding(bins, arena, hiding, weight)
        outcome = hiding.retrain(longer, arena.first_seed, (*IN_VIEW, *HIDDEN))
        told.append(_told(hiding, longer, outcome))
    return {"plain": told[:1], "attacks": told[1:]}


def _hiding(bins: Bins, arena: Arena, hiding: Arena, weight: float) -> Bins:
    """The same attack in the space of an attacker who trains the model, too."""
    return hiding.space.encode(replace(arena.space.decode(bins), hiding=weight))


def _attacked(job: Job, splits: Splits, cache: Cache) -> Row:
    """A search that has to pass the audit as shipped and cleaning.

    One by a white-box attacker starts from the known attacks in a training that hides them.
    """
    arena = Arena(splits, seed=job["seed"], in_view=ATTACKED, held_out=("witness",), cache=cache)
    if "start" not in job:
        return _campaign_told(_searched(job["strategy"], arena, ATTACKING))
    known = _known()
    if job["access"] == "white-box":
        plain, arena = arena, replace(arena, hides=True)
        known = [_hiding(bins, plain, arena, HIDING_WEIGHT) for bins in known]
    return _campaign_told(_searched(job["strategy"], arena, KNOWING, known, job["access"]))


def _watchers(job: Job, arena: Arena) -> tuple[str, ...]:
    if job["kind"].startswith("hidden"):
        return (*IN_VIEW, *HIDDEN)
    if job["kind"].startswith("met"):
        return (*IN_VIEW, *RETESTED)
    return RETESTED if job["kind"].startswith("retested") else (*arena.in_view, *WATCHED)


def _searched(
    name: str,
    arena: Arena,
    budget: Budget,
    known: Sequence[Bins] = (),
    access: Access = "scores",
) -> Campaign:
    campaign = Campaign(arena, budget, access)
    strategy = strategy_named(name, arena.space, Context.of(campaign))
    return search(campaign, strategy, np.random.default_rng(arena.seed), known)


def _campaign_told(campaign: Campaign) -> dict[str, Any]:
    done = {bins: o for bins, o in campaign.outcomes.items() if o and o.stage != "screened"}
    return {
        "rewards": [trial.reward for trial in campaign.trials],
        "impossible": sum(o is None for o in campaign.outcomes.values()),
        "screen_seconds": [o.seconds for o in campaign.screened.values()],
        "attacks": [_told(campaign.arena, bins, outcome) for bins, outcome in done.items()],
    }


def _stages(job: Job, splits: Splits, cache: Cache) -> Row:
    """The cheap stage of what a search retrained, as it was in the search."""
    known = [row for row in read(ROWS) if row["kind"] == "search"]
    (found,) = (row for row in known if row.items() >= (job | {"kind": "search"}).items())
    arena = Arena(splits, seed=job["seed"], cache=cache)
    cheap = [arena.screen(tuple(one["bins"])) for one in found["attacks"]]
    return {
        "screened": [
            {"bins": one["bins"], "success": outcome.success, "seconds": outcome.seconds}
            for one, outcome in zip(found["attacks"], cheap, strict=True)
        ]
    }


def _signatures(job: Job, splits: Splits, cache: Cache) -> Row:
    """By the triggers that worked in the searches so far, each once, on some test clips."""
    searches = [row for row in read(ROWS) if row["kind"] in SEARCHES]
    found = {
        json.dumps(one["attack"]["trigger"], sort_keys=True): one["attack"]["trigger"]
        for stage in ("retrained", "decided")
        for one in working(searches, stage)
    }
    triggers = [build(TRIGGERS, described) for described in found.values()]
    known = [number for number in KNOWN if number < len(triggers)]
    caught = caught_next(triggers, splits.test.per_class(SIGNED_PER_CLASS), known, seed=0)
    names = sorted(described["name"] for described in found.values())
    return {"triggers": names, "known": known, "caught": caught.round(4).tolist()}


def _told(arena: Arena, bins: tuple[int, ...], outcome: Outcome) -> dict[str, Any]:
    return {
        "bins": bins,
        "attack": arena.space.told(bins),
        "stage": outcome.stage,
        "success": outcome.success,
        "accuracy_drop": outcome.accuracy_drop,
        "spectral_distance_db": outcome.spectral_distance_db,
        "snr_db": outcome.snr_db,
        "suspicion": outcome.suspicion,
        "works": outcome.works(arena.bounds),
        "seconds": outcome.seconds,
    }


def _smaller(splits: Splits) -> Splits:
    return Splits(splits.train.per_class(PER_CLASS), splits.validation, splits.test, splits.trusted)


def summary(row: Row) -> str:
    """One line about a new row."""
    if row["kind"] == "signatures":
        return f"signatures: {row['caught']} caught by those fitted on {row['known']}"
    if row["kind"] == "stages":
        return f"stages {row['strategy']}: {len(row['screened'])} attacks"
    if row["kind"].endswith("clean"):
        loud = [name for name, suspicion in row["suspicion"].items() if suspicion >= 1]
        told = ", ".join(loud) or "nobody"
        return f"{row['kind']} {row.get('round', row.get('seed'))}, {row['number']}: by {told}"
    worked = [one for one in row["attacks"] if one["works"]]
    who = row.get("strategy", f"no. {row.get('place')}")
    return f"{row['kind']} {who}: {len(worked)} of {len(row['attacks'])} retrained attacks work"


def page() -> str:
    """The page with its tables made from the rows."""
    rows = read(ROWS)
    return below(PAGE, MARK, redteam_long_page.tables(rows) + tables(rows))


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
