"""Rows to the tables of docs/cleaning.md."""

import statistics
from collections.abc import Callable, Iterator, Sequence

from rows import Row, table

DESIGNED_ON = frozenset(
    {
        "Adap-Blend",
        "all-to-all",
        "ambient birds",
        "ambient rain",
        "clean label, hardest clips",
        "cough",
        "door",
        "echo hiding",
        "filter and update (FUS)",
        "least significant bits",
        "music",
        "neuron trigger (TrojanNN)",
        "neuron trigger, fine-tuned",
        "parallel triggers, one target",
        "pitch and masking (PBSM)",
        "prosody",
        "rhythm (RSRT)",
        "several triggers, a target each",
        "silence insertion",
        "speed",
        "spread spectrum",
        "steganography chosen clip by clip",
        "stochastic drift, Vasicek",
        "style 3",
        "style 4",
        "time warp",
        "tone burst",
        "tone burst, random place",
        "ultrasonic, whole clip",
        "universal perturbation",
        "untargeted",
        "voice conversion (VSVC)",
    }
)
"""The half of the catalogue that a seeded draw gave to the design, before it began."""

WAYS = {"trusted": "ten a class", "alone": "none"}
BOUNDS = ("perfect", "random")
DECEPTIVE = 0.5
OBEYED = 0.8
"""A set whose model obeys less often than this carries no attack to speak of."""


def tables(rows: Sequence[Row]) -> str:
    """The summary, the clean sets, and every attack."""
    return "\n".join([_summary(rows), _clean(rows), _attacks(rows)])


def _summary(rows: Sequence[Row]) -> str:
    obeyed = [r for r in _poisoned(rows) if r["asr"] >= OBEYED]
    groups = {
        f"success of {OBEYED} or more": obeyed,
        "of these, backdoors": [r for r in obeyed if r["perfect"]["asr"] < DECEPTIVE],
        "all": list(_poisoned(rows)),
    }
    body = []
    for title, group in groups.items():
        for way, trusted in WAYS.items():
            if not group:
                continue
            said = [r[way] for r in group]
            first = [title, trusted, str(len(group))]
            flagged = [
                one["flagged_poisoned"] / r["n_poisoned"]
                for one, r in zip(said, group, strict=True)
            ]
            wrong = [
                one["flagged_clean"] / (r["n"] - r["n_poisoned"])
                for one, r in zip(said, group, strict=True)
            ]
            inside = [
                one["interval"][0] <= r["n_poisoned"] / r["n"] <= one["interval"][1]
                for one, r in zip(said, group, strict=True)
            ]
            lost = _lost(group, way)
            body.append(
                [
                    *first,
                    _mean_and_worst([one["tpr_at_1"] for one in said], min),
                    _mean_and_worst(flagged, min),
                    f"{statistics.mean(wrong):.4f}; {max(wrong):.4f}",
                    f"{statistics.mean(inside):.2f}",
                    f"{statistics.mean(r['asr'] for r in group):.3f}",
                    _mean_and_worst([one["asr"] for one in said], max),
                    f"{statistics.mean(lost):.3f}",
                ]
            )
        for bound in BOUNDS if group else ():
            after = [r[bound]["asr"] for r in group]
            line = [title, f"{bound} removal", str(len(group)), *["–"] * 4]
            line.append(f"{statistics.mean(r['asr'] for r in group):.3f}")
            line += [_mean_and_worst(after, max), f"{statistics.mean(_lost(group, bound)):.3f}"]
            body.append(line)
    header = ["sets", "trusted clips", "number", "TPR", "poison flagged", "clean flagged"]
    header += ["rate inside", "ASR before", "ASR after", "BA lost"]
    return (
        "## Summary\n\nMean; worst. TPR: true-positive rate at 1 % false positives; flagged: at "
        "the shipped decision; rate inside: share of sets whose poison rate lies in the 90 % "
        "interval; after: a network trained again without what was flagged; bounds: without "
        "exactly the poison, and without as many clips at random. Backdoors: where a network that "
        f"never heard the poison obeys the trigger in under {DECEPTIVE} of the clips (else the "
        "trigger is an adversarial example, which no cleaning removes). Every other detector on "
        "the same sets: [detectors](detectors.md).\n\n" + table(header, body)
    )


def _lost(group: Sequence[Row], way: str) -> list[float]:
    return [r["ba"] - r[way]["ba"] for r in group]


def _mean_and_worst(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> str:
    return f"{statistics.mean(values):.3f}; {worst(values):.2f}"


def _poisoned(rows: Sequence[Row]) -> Iterator[Row]:
    return (row for row in rows if row["n_poisoned"])


def _clean(rows: Sequence[Row]) -> str:
    body = [
        [
            r["task"],
            r["network"],
            r["set"],
            str(r["seed"]),
            *(str(r[way]["flagged_clean"]) for way in WAYS),
        ]
        for r in rows
        if not r["n_poisoned"]
    ]
    header = ["task", "network", "set", "seed", "flagged, trusted", "flagged, none"]
    return "## Clean sets\n\n" + table(header, body)


def _attacks(rows: Sequence[Row]) -> str:
    body = []
    for row in _poisoned(rows):
        line = [row["set"], row["task"], row["network"], f"{row['rate']:g}", str(row["seed"])]
        line += [str(row["n_poisoned"]), f"{row['asr']:.2f}", f"{row['perfect']['asr']:.2f}"]
        for way in WAYS:
            said = row[way]
            low, high = said["interval"]
            line += [
                f"{said['tpr_at_1']:.2f}",
                f"{said['flagged_poisoned']} + {said['flagged_clean']}",
                f"{said['poison_rate']:.3f} [{low:.3f}, {high:.3f}]",
                f"{said['asr']:.2f}",
            ]
        body.append(line)
    header = ["attack", "task", "network", "rate", "seed", "poison", "ASR", "perfect"]
    for trusted in ("", ", none"):
        header += [f"{what}{trusted}" for what in ("TPR", "flagged", "estimate", "ASR after")]
    return (
        "## Set by set\n\nPerfect: ASR after training again without exactly the poison. Flagged: "
        "poisoned + clean clips. First with ten trusted clips a class, "
        "then with none.\n\n" + table(header, body)
    )
