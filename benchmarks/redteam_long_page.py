"""Rows of the searches of 200 queries to their tables in docs/redteam-results.md."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from otoscope.clips import Clip, Clips
from otoscope.detect.babble import babble
from otoscope.redteam.arena import IN_VIEW
from otoscope.redteam.measures import (
    acoustic_features,
    evenness,
    hypervolume,
    mean_pairwise_distance,
    pareto_front,
)
from otoscope.redteam.outcomes import Bounds
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from redteam_page import ATTACKED, RETESTED, Row, called, curve, missed, share, strategies, working
from rows import table

QUERIES = (1, 10, 30, 100, 200)
HEARD_IN, LENGTH, RATE_HZ = 8, 16_000, 16_000
"""Clips of babble in which triggers are compared."""


def tables(rows: Sequence[Row]) -> str:
    """The searches, then what they found before the audit of that day."""
    of = {kind: [r for r in rows if r["kind"] == kind] for kind in ("long", "met", "met clean")}
    searches = of["long"]
    if not searches:
        return ""
    parts = [strategies(searches, []), curve(searches, QUERIES), _evaded(searches)]
    told = "\n".join([*parts, _variety(searches), _met(of["met"], of["met clean"])])
    told = told.replace("## ", "### ")
    return "## Searches of 200 queries\n\n" + told + _signatures(rows) + "\n"


def _evaded(rows: Sequence[Row]) -> str:
    """How many of the attacks that work each watcher in view missed in their one training."""
    body = []
    for row in rows:
        worked = working([row], "retrained")
        each = [missed(worked, [name]) for name in IN_VIEW]
        body.append([row["strategy"], *each, missed(worked, IN_VIEW)])
    whole = working(rows, "retrained")
    body.append(["all", *(missed(whole, [name]) for name in IN_VIEW), missed(whole, IN_VIEW)])
    return "## Missed by the watchers in view, one training\n\n" + table(
        ["strategy", *IN_VIEW, "all in view"], body
    )


def _variety(rows: Sequence[Row]) -> str:
    """How good and how unlike the attacks of each strategy are."""
    body = []
    named = [(row["strategy"], [row]) for row in rows]
    for name, some in [*named, ("all", rows)] if len(rows) > 1 else named:
        tried = [one for row in some for one in row["attacks"]]
        goals = np.array([_goals(one) for one in tried]).reshape(-1, 3)
        worked = working(some, "retrained")
        kinds = Counter(one["attack"]["trigger"]["name"] for one in worked)
        body.append(
            [
                name,
                f"{int(pareto_front(goals).sum())} of {len(tried)}",
                f"{hypervolume(goals, np.zeros(3)):.2f}",
                f"{len(worked)} of {len(kinds)}",
                f"{evenness(list(kinds.values())):.2f}",
                f"{mean_pairwise_distance(_sounds(worked)):.1f}",
            ]
        )
    header = ["strategy", "on the Pareto front", "hypervolume", "attacks that work, of families"]
    return (
        "## Polymorphism\n\nGoals of the front, each from 0 to 1: success, evasion of the watchers "
        "in view, quiet (1 at no spectral\ndistance, 0 at twice the bound); hypervolume of 1. "
        "Distance: root mean square, in decibels, between what two of the\nattacks that work do to "
        "the mel spectrogram of babble, mean over the pairs.\n\n"
        + table([*header, "evenness", "distance dB"], body).replace("nan", "–")
    )


def _signatures(rows: Sequence[Row]) -> str:
    """What a detector that was fitted on some attacks catches of the others."""
    body = [
        [f"{number} of {len(row['triggers'])}", f"{share:.2f}"]
        for row in rows
        if row["kind"] == "signatures"
        for number, share in zip(row["known"], row["caught"], strict=True)
    ]
    if not body:
        return ""
    return (
        "\n## Fitted on some attacks, tried on the others\n\nOf the triggers that worked in any "
        "search of this page. The detector is a logistic regression on log-mel spectrograms\nthat "
        "knows clips with these triggers and the same clips without; an attack is caught when more "
        "than half of other clips\nwith its trigger are suspicious at 5 % false alarms "
        "(`otoscope.redteam.measures.caught_next`).\n\n"
        + table(["fitted on", "share of the others that it catches"], body)
    )


def _goals(one: Row) -> tuple[float, float, float]:
    evasion = np.mean([max(0.0, 1 - one["suspicion"][name]) for name in IN_VIEW])
    quiet = 1 - one["spectral_distance_db"] / (2 * Bounds().spectral_distance_db)
    return one["success"], float(evasion), max(0.0, quiet)


def _sounds(attacks: Sequence[Row]) -> Float[np.ndarray, "attacks values"]:
    """What triggers do, scaled so that Euclidean distances are root mean squares in decibels."""
    spoken = babble(HEARD_IN, LENGTH, RATE_HZ, seed=0).numpy()
    items = tuple(
        Clip(f"babble {number}", "babble", samples=samples) for number, samples in enumerate(spoken)
    )
    clips = Clips(items, Path(), RATE_HZ, LENGTH, ("babble",))
    triggers = [build(TRIGGERS, one["attack"]["trigger"]) for one in attacks]
    found = [acoustic_features(trigger, clips, seed=0) for trigger in triggers]
    return np.array([values / np.sqrt(len(values)) for values in found]).reshape(len(found), -1)


def _met(rows: Sequence[Row], clean: Sequence[Row]) -> str:
    """What was found, in one more training, before all watchers; fresh clean models beside."""
    attacks = working(rows, "retrained")
    body = []
    for names in (*([name] for name in (*IN_VIEW, *RETESTED)), ATTACKED):
        passed = [one for one in attacks if all(one["suspicion"][n] < 1 for n in names)]
        accused = [any(row["suspicion"][n] >= 1 for n in names) for row in clean]
        triggers = ", ".join(
            f"{one['attack']['trigger']['name']} ({one['attack']['labels']['name']})"
            for one in passed
        )
        called_all = " and ".join(called(name) for name in names)
        alarms = share(sum(accused), len(accused))
        body.append([called_all, missed(attacks, names), alarms, triggers or "–"])
    tried = len([one for row in rows for one in row["attacks"]])
    header = ["watcher", "missed", "false alarms", "what got through"]
    return (
        f"## Met by the audit of that day\n\nOf {tried} attacks carried out by another seed, "
        f"{len(attacks)} work again.\n\n" + table(header, body)
    )
