"""Attackers that search, against our own detectors: the tables in docs/redteam-results.md.

    python benchmarks/redteam.py --data ../shared/data              # run what is missing
    python benchmarks/redteam.py --table                            # rebuild the tables from rows

Two kinds of rows in ``benchmarks/results/redteam.jsonl``: "stages", one random attack at every
stage, for the rank correlations between them; "search", one strategy with one attacker's seed. The
bounds and budgets below stand in the page's words, too, and were written before the runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import catalogue
from otoscope.cache import Cache
from otoscope.datasets import Splits
from otoscope.detect import DEFAULT
from otoscope.redteam import STRATEGIES, Arena, Budget, Campaign, Outcome, search, strategy_named
from otoscope.redteam.arena import IMPOSSIBLE, IN_VIEW
from otoscope.redteam.context import Context
from otoscope.redteam.warm_start import WarmStart
from redteam_page import tables
from rows import Job, Row, fill, options, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "redteam.jsonl"
PAGE = HERE.parent / "docs" / "redteam-results.md"
MARK = "<!-- tables: python benchmarks/redteam.py --table -->\n"

PER_CLASS = 60
"""Training clips of each class: a third of the data set, so that a training takes a third."""

BUDGET = Budget(screened=40, retrained=6, decided=1, seeds=3)
SEEDS = (0, 1, 2, 3, 4)
SPECS = 24
MITIGATED = "audit:" + "+".join(dict.fromkeys((*DEFAULT, *IN_VIEW)))
"""The audit with ``vouching`` beside the detectors that it runs by default."""

HELD_OUT = ("strip", "trigger-inversion", "audit", MITIGATED, "clean")
LONGER = WarmStart(steps=200)


def jobs() -> Iterator[Job]:
    """The stages, then a search of every strategy, seed by seed."""
    for spec in range(SPECS):
        yield {"kind": "stages", "task": "keywords", "spec": spec}
    for seed in SEEDS:
        for name in STRATEGIES:
            yield {"kind": "search", "task": "keywords", "strategy": name, "seed": seed}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """One row: all stages of one attack, or one search."""
    splits = _smaller(catalogue.data(job["task"], folder))
    if job["kind"] == "stages":
        return _stages(job, splits, cache)
    arena = Arena(splits, seed=job["seed"], held_out=HELD_OUT, cache=cache)
    campaign = Campaign(arena, BUDGET)
    strategy = strategy_named(job["strategy"], arena.space, Context.of(campaign))
    search(campaign, strategy, np.random.default_rng(job["seed"]))
    done = {bins: o for bins, o in campaign.outcomes.items() if o and o.stage != "screened"}
    return {
        "rewards": [trial.reward for trial in campaign.trials],
        "impossible": sum(o is None for o in campaign.outcomes.values()),
        "screen_seconds": [o.seconds for o in campaign.screened.values()],
        "attacks": [_told(arena, bins, outcome) for bins, outcome in done.items()],
    }


def _stages(job: Job, splits: Splits, cache: Cache) -> Row:
    """One random attack: two warm starts, and full retraining by two seeds."""
    arena = Arena(splits, seed=0, cache=cache)
    longer = Arena(splits, seed=0, cache=cache, warm_start=LONGER)
    rng = np.random.default_rng((job["spec"], 7))
    while True:
        bins = arena.space.draw(rng)
        try:
            measured = {"warm start, 60 steps": arena.screen(bins)}
            break
        except IMPOSSIBLE:
            continue
    measured["warm start, 200 steps"] = longer.screen(bins)
    measured |= {f"retrained, seed {s}": arena.retrain(bins, s, arena.in_view) for s in (1, 2)}
    return {"attack": arena.space.told(bins)} | {
        "stages": {
            name: {"success": o.success, "suspicion": o.suspicion, "seconds": o.seconds}
            for name, o in measured.items()
        }
    }


def _told(arena: Arena, bins: tuple[int, ...], outcome: Outcome) -> dict[str, Any]:
    return {
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
    if row["kind"] == "stages":
        success = {name: round(one["success"], 2) for name, one in row["stages"].items()}
        return f"spec {row['spec']} {row['attack']['trigger']['name']}: {success}"
    worked = [one for one in row["attacks"] if one["works"]]
    return (
        f"{row['strategy']} seed {row['seed']}: best reward {max(row['rewards']):.2f}, "
        f"{len(worked)} of {len(row['attacks'])} retrained attacks work"
    )


def page() -> str:
    """The page with its tables made from the rows."""
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
