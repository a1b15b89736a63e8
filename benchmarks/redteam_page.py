"""Rows to the tables of docs/redteam-results.md."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from otoscope.metrics import wilson_interval
from otoscope.redteam.arena import IN_VIEW
from otoscope.redteam.hardening import compositions

Row = dict[str, Any]

SHIPPED = "audit"
CALIBRATED = ("activation-clustering", "spectral-signatures", "gaussian-mixture")
WITHOUT_WITNESS = "audit:" + "+".join((*CALIBRATED, "strip", "trigger-inversion"))
"""The audit before the rules of cleaning had a say in it."""

AUDITS = (
    SHIPPED,
    WITHOUT_WITNESS,
    *compositions(("witness", "vouching", "scan", "strip", "trigger-inversion")),
)
"""What hardening chooses among."""

SINGLE = ("strip", "scan", "witness", "trigger-inversion", "clean")
WATCHED = (*SINGLE, *AUDITS)
"""Held out of the reward: single watchers, then audits."""


def tables(rows: Sequence[Row]) -> str:
    """The strategies, the watchers, the attacks that got through, the stages."""
    if not rows:
        return "No row has been measured yet.\n"
    searches = [row for row in rows if row["kind"] == "search"]
    stages = [row for row in rows if row["kind"] == "stages"]
    return "\n".join(
        [_strategies(searches), _watchers(searches), _through(searches), _stages(stages)]
    )


def _strategies(rows: Sequence[Row]) -> str:
    body = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == name]
        attacks = [one for row in own for one in row["attacks"]]
        worked = [one for one in attacks if one["works"]]
        seconds = [s for row in own for s in row["screen_seconds"]]
        body.append(
            [
                name,
                str(len(own)),
                f"{statistics.mean(max(row['rewards']) for row in own):.2f}",
                f"{len(worked)}/{len(attacks)}",
                f"{sum(_missed_by_all_in_view(one) for one in worked)}",
                str(sum(row["impossible"] for row in own)),
                f"{statistics.median(seconds):.1f}" if seconds else "–",
            ]
        )
    header = ["strategy", "seeds", "best reward", "work / retrained"]
    header += ["of these evade all in view", "impossible", "s a screening"]
    return "## Strategies\n\n" + _table(header, body)


def _watchers(rows: Sequence[Row]) -> str:
    """Of the attacks that worked, how many each watcher missed, by stage."""
    body = []
    for stage in ("retrained", "decided"):
        worked = [
            one for row in rows for one in row["attacks"] if one["works"] and one["stage"] == stage
        ]
        names = dict.fromkeys(name for one in worked for name in one["suspicion"])
        for name in names:
            missed = sum(one["suspicion"][name] < 1 for one in worked)
            low, high = wilson_interval(missed, len(worked))
            body.append([stage, name, str(len(worked)), str(missed), f"[{low:.2f}, {high:.2f}]"])
    header = ["stage", "watcher", "attacks that work", "missed", "share missed, 95 %"]
    return "## What each watcher missed\n\n" + _table(header, body)


def _through(rows: Sequence[Row]) -> str:
    """The decided attacks, one by one."""
    body = []
    for row in rows:
        for one in row["attacks"]:
            if one["stage"] == "decided":
                attack = one["attack"]
                caught = [name for name, s in one["suspicion"].items() if s >= 1]
                body.append(
                    [
                        f"{row['strategy']}, {row['seed']}",
                        attack["trigger"]["name"],
                        attack["labels"]["name"],
                        f"{attack['rate']:g} + {attack['cover_rate']:g}",
                        f"{one['success']:.2f}",
                        f"{one['spectral_distance_db']:.1f}",
                        "yes" if one["works"] else "no",
                        ", ".join(caught) or "nobody",
                    ]
                )
    header = ["strategy, seed", "trigger", "labels", "poison + cover", "success", "distance dB"]
    return "## Decided attacks\n\n" + _table([*header, "works", "caught by"], body)


def _stages(rows: Sequence[Row]) -> str:
    """Spearman's rank correlation of every stage with the first full retraining."""
    body = []
    full = "retrained, seed 1"
    for name in dict.fromkeys(name for row in rows for name in row["stages"]):
        success = _rank([row["stages"][name]["success"] for row in rows], _success(rows, full))
        suspicion = "–"
        if name != full and all(row["stages"][name]["suspicion"] for row in rows):
            each = [
                _rank(
                    [row["stages"][name]["suspicion"][watcher] for row in rows],
                    [row["stages"][full]["suspicion"][watcher] for row in rows],
                )
                for watcher in rows[0]["stages"][full]["suspicion"]
            ]
            suspicion = ", ".join(each)
        seconds = statistics.median(row["stages"][name]["seconds"] for row in rows)
        body.append([name, str(len(rows)), success, suspicion, f"{seconds:.1f}"])
    header = ["stage", "attacks", "success", "suspicion, each watcher in view", "seconds"]
    return "## Rank correlation with full retraining\n\n" + _table(header, body)


def _success(rows: Sequence[Row], stage: str) -> list[float]:
    return [row["stages"][stage]["success"] for row in rows]


def _rank(one: Sequence[float], other: Sequence[float]) -> str:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return "–"
    return f"{spearmanr(one, other).statistic:.2f}"


def _missed_by_all_in_view(one: Row) -> bool:
    return all(one["suspicion"][name] < 1 for name in IN_VIEW)


def _table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
