"""Rows to the tables of docs/redteam-results.md."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from otoscope.calibrate import cauchy_combination
from otoscope.redteam import Trial
from otoscope.redteam.arena import IN_VIEW
from otoscope.redteam.hardening import compositions
from otoscope.redteam.measures import best_so_far, evenness, quartiles, security_curve
from otoscope.redteam.suite import FALSE_ALARM_LEVEL
from rows import share, table

Row = dict[str, Any]
Attack = dict[str, Any]

SHIPPED = "audit"
CALIBRATED = ("activation-clustering", "spectral-signatures", "gaussian-mixture")
WITHOUT_WITNESS = "audit:" + "+".join((*CALIBRATED, "strip", "trigger-inversion"))
"""The audit before the rules of cleaning had a say in it."""

SINCE = ("witness", "trigger-inversion")
"""What the audit as shipped runs beside ``CALIBRATED``."""

CAPS = (0.99, 0.5)
"""Where p-values are cut off before they are combined: as in the audit that made the rows, and as
shipped since, so that none counts against the others."""

AUDITS = (
    SHIPPED,
    WITHOUT_WITNESS,
    *compositions(("witness", "vouching", "scan", "strip", "trigger-inversion")),
)
"""What hardening chooses among."""

SINGLE = ("strip", "scan", "witness", "trigger-inversion", "clean")
THROUGH_THE_MODEL = f"audit:{'+'.join((*CALIBRATED, *SINCE))}"
"""The audit that looks at the clips through the delivered model only."""

RETESTED = (SHIPPED, *SINGLE)
"""Who watches when attacks are tested again by a later audit."""

HIDDEN = (SHIPPED, THROUGH_THE_MODEL, "independent-witness", *SINGLE)
"""Who watches when the training hides the poison."""

ATTACKED = (SHIPPED, "clean")
"""What a user runs; in view of the last searches."""

WATCHED = (*SINGLE, *AUDITS)
"""Held out of the reward: single watchers, then audits."""

QUERIES = (1, 3, 10, 20, 30)
RATES = (0.0, 0.01, 0.02, 0.05, 1.0)
SNRS_DB = (-np.inf, 0.0, 10.0, 20.0, 30.0, np.inf)


def tables(rows: Sequence[Row]) -> str:
    """Everything below the page's words."""
    if not rows:
        return "No row has been measured yet.\n"
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in _KINDS}
    searches, decided, harden = of["search"], of["decided"], of["harden"]
    parts = [
        _strategies(searches, decided),
        curve(searches),
        _watchers(searches, decided, harden, of["replayed"], of["clean"]),
        _hardening(harden, decided, of["replayed"], of["clean"]),
        _retested(of["retested"], of["retested clean"]),
        _hidden(of["hidden"], of["hidden clean"]),
        _attacked(of["attacked"]),
        _cancelled([*decided, *of["replayed"]], of["clean"]),
        _security(searches),
        _decided([*decided, *harden], [*of["replayed"], *of["met"]]),
        _stages(searches, of["stages"], of["replayed"]),
    ]
    return "\n".join(part for part in parts if part)


_KINDS = (
    *("search", "decided", "clean", "harden", "replayed", "stages"),
    *("retested", "retested clean", "hidden", "hidden clean", "attacked", "met"),
)


def _strategies(rows: Sequence[Row], decided: Sequence[Row]) -> str:
    body = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == name]
        attacks = [one for row in own for one in row["attacks"]]
        worked = [one for one in attacks if one["works"]]
        ended = [one for row in decided if row["strategy"] == name for one in row["attacks"]]
        seconds = [s for row in own for s in row["screen_seconds"]]
        body.append(
            [
                name,
                str(len(own)),
                f"{statistics.mean(max(row['rewards']) for row in own):.2f}",
                f"{len(worked)}/{len(attacks)}",
                f"{sum(_missed_by_all_in_view(one) for one in worked)}",
                f"{sum(one['works'] for one in ended)}/{len(ended)}",
                str(sum(row["impossible"] for row in own)),
                f"{statistics.median(seconds):.1f}" if seconds else "–",
            ]
        )
    header = ["strategy", "seeds", "best reward", "work / retrained"]
    header += ["of these evade all in view", "work / decided", "impossible", "s a screening"]
    told = "## Strategies\n\n" + table(header, body)
    attacks = [one for row in rows for one in row["attacks"]]
    cheap = [s for row in rows for s in row["screen_seconds"]]
    if not cheap or not attacks:
        return told
    return told + (
        f"\n{_an_hour(cheap)} screenings an hour or {_an_hour([a['seconds'] for a in attacks])} "
        "retrainings with the watchers in view, on one core of two (goals: 600 and 60 on both).\n"
    )


def _an_hour(seconds: Sequence[float]) -> str:
    return f"{3600 / statistics.median(seconds):,.0f}"


def curves(rows: Sequence[Row]) -> dict[str, Float[np.ndarray, "3 queries"]]:
    """Each strategy's degradation curve: lower quartile, median and upper quartile of the seeds."""
    return {
        name: quartiles(
            [
                best_so_far([Trial((), reward, 0, 0, False) for reward in row["rewards"]])
                for row in rows
                if row["strategy"] == name
            ]
        )
        for name in dict.fromkeys(row["strategy"] for row in rows)
    }


def curve(rows: Sequence[Row], queries: Sequence[int] = QUERIES) -> str:
    """The degradation curve of searches, after so many queries."""
    body = []
    for name, (low, middle, high) in curves(rows).items():
        at = [min(query, len(middle)) - 1 for query in queries]
        body.append([name, *(f"{middle[i]:.2f} [{low[i]:.2f}, {high[i]:.2f}]" for i in at)])
    header = ["strategy", *(f"after {query}" for query in queries)]
    return (
        "## Degradation curve: highest reward so far\n\nMedian of the seeds, and quartiles.\n\n"
        + table(header, body)
    )


def _watchers(
    searches: Sequence[Row],
    decided: Sequence[Row],
    harden: Sequence[Row],
    replayed: Sequence[Row],
    clean: Sequence[Row],
) -> str:
    """Of the attacks that worked, how many each watcher missed, and its false alarms beside."""
    once = working(searches, "retrained")
    thrice = working(decided, "decided")
    again = working(replayed, "retrained")
    chosen = dict.fromkeys(row["chosen"] for row in harden)
    names = dict.fromkeys((*IN_VIEW, *SINGLE, SHIPPED, WITHOUT_WITNESS, *chosen))
    body = []
    for name in names:
        usual = [row["suspicion"][name] for row in clean]
        accused = [suspicion >= 1 for suspicion in usual]
        body.append(
            [
                f"{called(name)}{', in view' if name in IN_VIEW else ''}",
                missed(once, [name]),
                missed(thrice, [name]),
                missed(again, [name]),
                missed([*thrice, *again], [name], above=max(usual, default=0.0)),
                share(sum(accused), len(accused)),
            ]
        )
    together = [missed(some, IN_VIEW) for some in (once, thrice, again)]
    body.append(["all in view together", *together, "–", "–"])
    header = ["watcher", "missed, one training", "missed, decided", "missed, replayed"]
    header += ["missed if it may accuse no clean model here", "false alarms"]
    return (
        "## What each watcher missed\n\nOf the attacks that work, those of the searches with single"
        " detectors in view. The last\nbut one column counts the decided and the replayed as "
        "caught only above every clean model of this page, which makes\nwatchers comparable that "
        "accuse more or fewer of these; it is no decision that could have been taken before.\n\n"
        + table(header, body)
    )


def _hardening(
    harden: Sequence[Row], decided: Sequence[Row], replayed: Sequence[Row], clean: Sequence[Row]
) -> str:
    if not harden:
        return ""
    body = []
    for row in harden:
        name = row["chosen"]
        # what the choice rested on, against what came after it
        before = working([*decided, *(r for r in harden if r["round"] < row["round"])], "decided")
        fresh = [r["suspicion"][name] >= 1 for r in clean if r["round"] == row["round"]]
        body.append(
            [
                f"{row['round']}, {row['strategy']}",
                called(name),
                missed(before, [name]),
                f"{sum(one['works'] for one in row['attacks'])}/{len(row['attacks'])}",
                missed(working([row], "retrained"), [name]),
                missed(working([row], "decided"), [name]),
                share(sum(fresh), len(fresh)),
            ]
        )
    header = ["round", "audit", "missed of what it was chosen on", "work / retrained"]
    header += ["missed, one training", "missed, decided", "fresh false alarms"]
    both = [(row, one) for row in harden for one in row["attacks"] if one["works"]]
    passed = sum(one["suspicion"][row["chosen"]] < 1 for row, one in both)
    told = f"\nAttacks by searches on the hardened audits: {len(both)} work"
    told += f", {share(passed, len(both))} got through.\n" if both else ".\n"
    again, last = working(replayed, "retrained"), harden[-1]["chosen"]
    if again:
        told += (
            f"Replayed attacks that work: {missed(again, [last])} got through the {called(last)}, "
            f"{missed(again, [SHIPPED])} through\nthe audit as shipped. "
        )
    return (
        "## Hardening\n\n"
        + table(header, body)
        + told
        + "The goal is at most 5 % after hardening.\n"
    )


def _retested(rows: Sequence[Row], clean: Sequence[Row]) -> str:
    """The attacks that worked in the searches, by other seeds, and the audits of later days."""
    if not clean:
        return ""
    told = (
        "## Tested again, by later audits\n\nThe attacks that worked in the searches, carried out "
        "by other seeds.\nThe rows' commits tell which audit.\n"
    )
    for seed in dict.fromkeys(row["seed"] for row in clean):
        own, innocent = ([row for row in some if row["seed"] == seed] for some in (rows, clean))
        attacks = working(own, "retrained")
        body = []
        for name in RETESTED:
            accused = [row["suspicion"][name] >= 1 for row in innocent]
            passed = [one for one in attacks if one["suspicion"][name] < 1]
            triggers = ", ".join(one["attack"]["trigger"]["name"] for one in passed)
            accusing = share(sum(accused), len(accused))
            body.append([called(name), missed(attacks, [name]), accusing, triggers or "–"])
        header = [f"seed {seed}, {len(attacks)} of {len(own)} work", "missed", "false alarms"]
        told += "\n" + table([*header, "what got through"], body)
    return told


def _hidden(rows: Sequence[Row], clean: Sequence[Row]) -> str:
    """The same attacks as they are, and in a training that hides their poison; clean models."""
    if not rows:
        return ""
    told = "## Hidden by the training (white-box)\n"
    for seed in dict.fromkeys(row["seed"] for row in rows):
        told += "\n" + _hidden_by(seed, [row for row in rows if row["seed"] == seed], clean)
    return told


def _hidden_by(seed: int, rows: Sequence[Row], clean: Sequence[Row]) -> str:
    pairs = [
        (plain, one)
        for row in rows
        for plain, one in zip(row.get("plain", ()), row["attacks"], strict=False)
        if plain["works"]
    ]
    if not pairs:
        return f"By seed {seed}, of {len(rows)} tried none works as it is.\n"
    hidden = [one for _, one in pairs]
    work = [one for one in hidden if one["works"]]
    shown = ([plain for plain, _ in pairs], hidden, work)
    body = []
    for name in (*IN_VIEW, *HIDDEN):
        accused = [row["suspicion"][name] >= 1 for row in clean]
        each = [missed(some, [name]) for some in shown]
        body.append([called(name), *each, share(sum(accused), len(accused))])
    lost = statistics.median(one["accuracy_drop"] for one in hidden)
    header = ["watcher", "missed as they are", "missed hidden", "missed of those that still work"]
    return (
        f"The known attacks by seed {seed}, in a training that hides their poison "
        f"by weight {rows[0]['weight']}: of {len(pairs)} that work as they are, {len(work)} work "
        f"still (accuracy lost: median of all {lost:.3f}). False alarms: of {len(clean)} models "
        "without a backdoor.\n\n" + table([*header, "false alarms"], body)
    )


def _attacked(rows: Sequence[Row]) -> str:
    """Searches against what a user runs, and what got through; then all of them together."""
    if not rows:
        return ""
    white = [row for row in rows if row.get("access") == "white-box"]
    others = [row for row in rows if row not in white]
    body = [_against(_hunt(row), [row]) for row in rows]
    for called, some in (("all by scores", others), ("all white-box", white)):
        body += [_against(called, some)] if len(some) > 1 else []
    header = ["search", "screened", "work / retrained", "missed by the audit", "by cleaning"]
    return (
        "## Searches against the audit as shipped and cleaning\n\nBoth in view of the attacker. Of "
        "the attacks that work; the one of each search that was decided over\nthree more trainings "
        "counts by these.\n\n" + table([*header, "by both", "what got through both"], body)
    )


def _hunt(row: Row) -> str:
    """What a search against the audit is called."""
    access = ", white-box" if row.get("access") == "white-box" else ""
    start = ", from what worked" if "start" in row else ""
    return f"{row['strategy']}{access}{start}, seed {row['seed']}"


def _against(called: str, rows: Sequence[Row]) -> list[str]:
    """A line of the table: what some searches found, and what missed it."""
    attacks = [*working(rows, "retrained"), *working(rows, "decided")]
    passed = [one for one in attacks if all(one["suspicion"][n] < 1 for n in ATTACKED)]
    return [
        called,
        f"{sum(len(row['rewards']) for row in rows)}",
        f"{len(attacks)}/{sum(len(row['attacks']) for row in rows)}",
        *(missed(attacks, [name]) for name in ATTACKED),
        missed(attacks, ATTACKED),
        named(passed),
    ]


def named(attacks: Sequence[Attack]) -> str:
    """Attacks by their triggers and label shifts."""
    return (
        ", ".join(
            f"{one['attack']['trigger']['name']} ({one['attack']['labels']['name']})"
            for one in attacks
        )
        or "–"
    )


def _cancelled(rows: Sequence[Row], clean: Sequence[Row]) -> str:
    """What the audit would have missed if no detector could cancel another."""
    attacks = [*working(rows, "decided"), *working(rows, "retrained")]
    body = []
    for cap in CAPS:
        passed = sum(_combined(one["suspicion"], cap) < 1 for one in attacks)
        accused = sum(_combined(row["suspicion"], cap) >= 1 for row in clean)
        body.append([f"p at most {cap:g}", share(passed, len(attacks)), share(accused, len(clean))])
    accused = sum(row["suspicion"][SHIPPED] >= 1 for row in clean)
    shipped = ["as shipped", missed(attacks, [SHIPPED]), share(accused, len(clean))]
    return (
        "## Detectors that cancel each other\n\nThe rule of the audit of that day, one vote each, "
        "computed from every detector's smallest p-value instead of class\nby class, so that "
        "detectors need not agree on the class.\n\n"
        + table(["combination", "missed, decided and replayed", "false alarms"], [shipped, *body])
    )


def _combined(suspicion: dict[str, float], cap: float) -> float:
    """The Cauchy combination of the audit's detectors, none above ``cap``, as a suspicion."""
    p = np.array([FALSE_ALARM_LEVEL ** suspicion[name] for name in (*CALIBRATED, *SINCE)])
    return float(np.log(cauchy_combination(p, at_most=cap)) / np.log(FALSE_ALARM_LEVEL))


def _security(rows: Sequence[Row]) -> str:
    """How many each watcher in view caught, by poison rate and by signal-to-noise ratio."""
    worked = working(rows, "retrained")
    body = []
    for what, values, edges in (
        ("poison rate", [one["attack"]["rate"] for one in worked], RATES),
        ("SNR, dB", [one["snr_db"] for one in worked], SNRS_DB),
    ):
        curves_of = []
        for name in IN_VIEW:
            caught = np.array([one["suspicion"][name] >= 1 for one in worked], dtype=bool)
            curves_of.append(security_curve(np.array(values, dtype=float), caught, edges))
        for points in zip(*curves_of, strict=True):
            span = f"{points[0].low:g} up to {points[0].high:g}"
            hits = [share(round(p.caught * p.attacks), p.attacks) for p in points]
            body.append([what, span, *hits])
    families = Counter(one["attack"]["trigger"]["name"] for one in worked)
    told = ", ".join(f"{name} {count}" for name, count in families.most_common())
    return (
        "## Security curve\n\n"
        + table(["strength", "from", *(f"caught by {name}" for name in IN_VIEW)], body)
        + f"\nThe {len(worked)} attacks that work are of {len(families)} trigger families "
        f"(evenness {evenness(list(families.values())):.2f}): {told}.\n"
    )


def _decided(rows: Sequence[Row], once: Sequence[Row]) -> str:
    """The decided attacks, one by one."""
    body = []
    for row in rows:
        for one in row["attacks"]:
            if one["stage"] == "decided":
                attack = one["attack"]
                watchers = dict.fromkeys((*IN_VIEW, *SINGLE, SHIPPED, WITHOUT_WITNESS))
                caught = [n for n in watchers if one["suspicion"].get(n, 0) >= 1]
                body.append(
                    [
                        _search_of(row),
                        attack["trigger"]["name"],
                        attack["labels"]["name"],
                        f"{attack['rate']:g} + {attack['cover_rate']:g}",
                        f"{one['success']:.2f}",
                        f"{one['accuracy_drop']:.3f}",
                        f"{one['spectral_distance_db']:.1f}",
                        f"{one['snr_db']:.0f}",
                        "yes" if one["works"] else "no",
                        ", ".join(called(name) for name in caught) or "nobody",
                    ]
                )
    header = ["search", "trigger", "labels", "poison + cover", "success", "accuracy lost"]
    header += ["distance dB", "SNR dB", "works", "caught by"]
    return "## Decided attacks\n\n" + table(header, body) + _sounds([*rows, *once])


def _sounds(rows: Sequence[Row]) -> str:
    """What got through, with its parameters and what it sounds like."""
    found = through(rows)
    if not found:
        return ""
    lines = [
        f"- [{name}](redteam-sounds/{name}.flac): `{_spec(one['attack']['trigger'])}`"
        for name, one in found.items()
    ]
    return (
        "\nTo hear: what got through the audit as shipped or the audit that was attacked, on one "
        "spoken command\n([before](redteam-sounds/before.flac)).\n\n" + "\n".join(lines) + "\n"
    )


def _spec(trigger: Row) -> str:
    values = [f"{key}={value}" for key, value in trigger.items() if key != "name"]
    return f"{trigger['name']}:{','.join(values)}" if values else trigger["name"]


def _stages(searches: Sequence[Row], stages: Sequence[Row], replayed: Sequence[Row]) -> str:
    """Spearman's rank correlations with the one full retraining that a search made."""
    full = {tuple(one["bins"]): one for row in searches for one in row["attacks"]}
    cheap = {tuple(one["bins"]): one for row in stages for one in row["screened"]}
    again = {tuple(one["bins"]): one for row in replayed for one in row["attacks"]}
    body = []
    for name, other in (("screened", cheap), ("retrained, another seed and target", again)):
        both = [(one, full[bins]) for bins, one in other.items() if bins in full]
        success = _rank([a["success"] for a, _ in both], [b["success"] for _, b in both])
        each = [
            _rank(*zip(*((a["suspicion"][n], b["suspicion"][n]) for a, b in both), strict=True))
            for n in IN_VIEW
            if both and all("suspicion" in a for a, _ in both)
        ]
        seconds = statistics.median(a["seconds"] for a, _ in both) if both else float("nan")
        body.append([name, str(len(both)), success, ", ".join(each) or "–", f"{seconds:.1f}"])
    header = ["stage", "attacks", "success", f"suspicion: {', '.join(IN_VIEW)}", "seconds"]
    return (
        "## Rank correlation with full retraining\n\nOf attacks that were promising enough to be "
        "retrained, which narrows the range and lowers correlations.\n\n" + table(header, body)
    )


def _rank(one: Sequence[float], other: Sequence[float]) -> str:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return "–"
    return f"{spearmanr(one, other).statistic:.2f}"


def through(rows: Sequence[Row]) -> dict[str, Attack]:
    """What works and got through the audit as shipped or the one attacked, decided or tried once.

    By the name of its search, as in the names of the files that let it be heard; no trigger twice.
    """
    found: dict[str, Attack] = {}
    for row in rows:
        stage = "retrained" if row["kind"] in ("replayed", "met") else "decided"
        for one in working([row] if "attacks" in row else [], stage):
            passed = [one["suspicion"][n] < 1 for n in (SHIPPED, row.get("chosen", SHIPPED))]
            known = [other["attack"]["trigger"] for other in found.values()]
            if any(passed) and one["attack"]["trigger"] not in known:
                name = _search_of(row).replace(", ", "-").replace(". ", " ").replace(" ", "-")
                found[name] = one
    return found


def _search_of(row: Row) -> str:
    if row["kind"] == "replayed":
        return f"replayed, no. {row['place'] + 1}"
    if "round" in row:
        return f"{row['strategy']}, round {row['round']}"
    place = f", no. {row['place'] + 1}" if row.get("place") else ""
    return f"{row['strategy']}, seed {row['seed']}{place}"


def working(rows: Sequence[Row], stage: str) -> list[Attack]:
    """The attacks of some rows that reached a stage and work; what two searches found, once."""
    return list(
        {
            (row.get("seed"), row.get("round"), *one["bins"]): one
            for row in rows
            for one in row["attacks"]
            if one["works"] and one["stage"] == stage
        }.values()
    )


def missed(attacks: Sequence[Attack], names: Sequence[str], above: float = 0.0) -> str:
    """How many all of the watchers missed, of those on which they looked.

    What is no more suspicious than ``above`` counts as missed, too.
    """
    seen = [one["suspicion"] for one in attacks if set(names) <= one["suspicion"].keys()]
    return share(
        sum(all(s[name] < 1 or s[name] <= above for name in names) for s in seen), len(seen)
    )


def _missed_by_all_in_view(one: Attack) -> bool:
    return all(one["suspicion"][name] < 1 for name in IN_VIEW)


def called(name: str) -> str:
    """A watcher as the page names it."""
    known = {
        SHIPPED: "audit as shipped",
        WITHOUT_WITNESS: "audit with STRIP, without witnesses",
        THROUGH_THE_MODEL: "audit through the delivered model only",
    }
    if name in known:
        return known[name]
    kind, _, detectors = name.partition(":")
    return f"{kind} of {detectors.replace('+', ', ')}" if detectors else name
