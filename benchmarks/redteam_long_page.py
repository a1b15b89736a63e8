"""Rows of the searches of 200 queries to their tables in docs/redteam-results.md."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from otoscope.clips import Clip, Clips
from otoscope.detect.babble import babble
from otoscope.redteam.arena import IN_VIEW
from otoscope.redteam.measures import (
    evenness,
    hypervolume,
    mean_pairwise_distance,
    pareto_front,
)
from otoscope.redteam.outcomes import Bounds, unseen
from otoscope.redteam.signatures import acoustic_features
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from redteam_page import ATTACKED, RETESTED, Row, called, curve, missed, named, working
from rows import share, table

QUERIES = (1, 10, 30, 100, 200)
KINDS = (
    *("long", "met", "met clean", "met again", "met again clean"),
    *("long elsewhere", "met elsewhere", "met elsewhere clean", "signatures"),
)
HEARD_IN, LENGTH, RATE_HZ = 8, 16_000, 16_000
"""Clips of babble in which triggers are compared."""

MET = "## Met by the audit of that day\n\nThe rows' commits tell which.\n"


def tables(rows: Sequence[Row]) -> str:
    """The searches, what they found before the audit of that day, and fitted detectors."""
    of = {kind: [r for r in rows if r["kind"] == kind] for kind in KINDS}
    parts = []
    if of["long"]:
        parts += [_searches(of["long"]), curve(of["long"], QUERIES), _variety(of["long"])]
        parts += [MET, *_met(of["met"], of["met clean"], "by another training")]
        parts += _met(of["met again"], of["met again clean"], "by another target and source")
    if of["long elsewhere"]:
        parts += [_searches(of["long elsewhere"], "Searches of 60 queries, on speakers")]
        parts += _met(of["met elsewhere"], of["met elsewhere clean"], "speakers, another training")
    parts += [_signatures(row) for row in of["signatures"]]
    return "".join(f"{part}\n" for part in parts)


def _searches(rows: Sequence[Row], title: str = "Searches of 200 queries") -> str:
    """How many attacks work, and how many of these each watcher in view missed."""
    body = []
    for name, some in _by_strategy(rows):
        worked, tried = working(some, "retrained"), [a for row in some for a in row["attacks"]]
        seconds = [s for row in some for s in row["screen_seconds"]]
        missing = [missed(worked, names) for names in (*([one] for one in IN_VIEW), IN_VIEW)]
        body.append(
            [
                name,
                f"{max(max(row['rewards']) for row in some):.2f}",
                f"{len(worked)}/{len(tried)}",
                *missing,
                f"{statistics.median(seconds):.1f}",
            ]
        )
    header = ["strategy", "best reward", "work / retrained"]
    header += [f"missed by {name}" for name in IN_VIEW]
    return (
        f"## {title}\n\nOne attacker's seed each. Missed: of those that work, in "
        "one training.\n\n" + table([*header, "by all in view", "s a screening"], body)
    )


def _by_strategy(rows: Sequence[Row]) -> list[tuple[str, Sequence[Row]]]:
    """Each search, then all together."""
    each: list[tuple[str, Sequence[Row]]] = [
        (f"{row['strategy']}, seed {row['seed']}", [row]) for row in rows
    ]
    return [*each, ("all", rows)] if len(rows) > 1 else each


def _variety(rows: Sequence[Row]) -> str:
    """How good and how unlike the attacks of each strategy are."""
    body = []
    for name, some in _by_strategy(rows):
        worked = working(some, "retrained")
        goals = np.array([_goals(one) for one in worked]).reshape(-1, 3)
        kinds = Counter(one["attack"]["trigger"]["name"] for one in worked)
        told = [evenness(list(kinds.values())), mean_pairwise_distance(_sounds(worked))]
        line = [name, str(len(worked)), str(len(kinds)), f"{int(pareto_front(goals).sum())}"]
        line += [f"{hypervolume(goals, np.zeros(3)):.2f}", f"{told[0]:.2f}", f"{told[1]:.1f}"]
        body.append([one.replace("nan", "–") for one in line])
    header = ["strategy", "attacks that work", "trigger families", "on the Pareto front"]
    return (
        "## Polymorphism\n\nGoals of the front, each from 0 to 1: success, evasion of the watchers "
        "in view, quiet (1 at no spectral\ndistance, 0 at twice the bound); the hypervolume is the "
        "share of that cube which some attack beats. Distance: root mean\nsquare, in decibels, "
        "between what two attacks do to the mel spectrogram of babble, mean over the pairs.\n\n"
        + table([*header, "hypervolume", "evenness", "distance dB"], body)
    )


def _signatures(row: Row) -> str:
    """What a detector that was fitted on some attacks catches of the others."""
    body = [
        [f"{number} of {len(row['triggers'])}", f"{caught:.2f}"]
        for number, caught in zip(row["known"], row["caught"], strict=True)
    ]
    named = ", ".join(f"{name} {count}" for name, count in Counter(row["triggers"]).items())
    return (
        "## Fitted on some attacks, tried on the others\n\nTriggers that worked in the searches so "
        f"far, equal ones once: {named}. The detector is a logistic\nregression on log-mel "
        "spectrograms that knows clips with some of these triggers and the same clips without; an "
        "attack is\ncaught when more than half of other clips with its trigger are suspicious at "
        "5 % false alarms\n(`otoscope.redteam.signatures.caught_next`).\n\n"
        + table(["fitted on", "share of the others that it catches"], body)
    )


def _goals(one: Row) -> tuple[float, float, float]:
    evasion = unseen([one["suspicion"][name] for name in IN_VIEW], "scores")
    quiet = 1 - one["spectral_distance_db"] / (2 * Bounds().spectral_distance_db)
    return one["success"], evasion, max(0.0, quiet)


def _sounds(attacks: Sequence[Row]) -> Float[np.ndarray, "attacks values"]:
    """What triggers do, scaled so that Euclidean distances are root mean squares in decibels."""
    spoken = babble(HEARD_IN, LENGTH, RATE_HZ, seed=0).numpy()
    items = tuple(
        Clip(f"babble {number}", "babble", samples=samples) for number, samples in enumerate(spoken)
    )
    clips = Clips(items, Path(), RATE_HZ, LENGTH, ("babble",))
    triggers = [build(TRIGGERS, one["attack"]["trigger"]) for one in attacks]
    found = [acoustic_features(trigger, clips, seed=0) for trigger in triggers]
    return np.array(found) / np.sqrt(len(found[0])) if found else np.empty((0, 1))


def _met(rows: Sequence[Row], clean: Sequence[Row], how: str) -> list[str]:
    """What was found, carried out anew before all watchers; fresh clean models beside.

    By each seed apart, for the audits are of different days.
    """
    parts = []
    for seed in dict.fromkeys(row["seed"] for row in clean):
        own, innocent = ([row for row in some if row["seed"] == seed] for some in (rows, clean))
        attacks = working(own, "retrained")
        body = []
        for names in (*([name] for name in (*IN_VIEW, *RETESTED)), ATTACKED):
            passed = [one for one in attacks if all(one["suspicion"][n] < 1 for n in names)]
            accused = [any(row["suspicion"][n] >= 1 for n in names) for row in innocent]
            called_all = " and ".join(called(name) for name in names)
            alarms = share(sum(accused), len(accused))
            body.append([called_all, missed(attacks, names), alarms, named(passed)])
        tried = len({tuple(one["bins"]) for row in own for one in row["attacks"]})
        what = f"seed {seed}, {how}: {len(attacks)} of {tried} work"
        parts.append(table([what, "missed", "false alarms", "what got through"], body))
    return parts
