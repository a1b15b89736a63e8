"""Rows to the tables of docs/cleaning.md."""

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

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

DETECTORS = {
    "vouching": "vouching",
    "activation-clustering": "AC",
    "spectral-signatures": "SS",
    "gaussian-mixture": "GMM",
}


def tables(rows: Sequence[Row]) -> str:
    """The summary, the clean sets, and every attack."""
    return "\n".join([_summary(rows), _clean(rows), _attacks(rows)])


def _summary(rows: Sequence[Row]) -> str:
    body = []
    for half in ("report", "design"):
        for trusted in (0, 10):
            group = [r for r in rows if r["n_poisoned"] and r["trusted"] == trusted]
            group = [r for r in group if (r["set"] in DESIGNED_ON) == (half == "design")]
            if not group:
                continue
            found = [r["flagged_poisoned"] / r["n_poisoned"] for r in group]
            wrong = [r["flagged_clean"] / (r["n"] - r["n_poisoned"]) for r in group]
            inside = [
                r["interval"][0] <= r["n_poisoned"] / r["n"] <= r["interval"][1] for r in group
            ]
            body.append(
                [
                    half,
                    str(trusted),
                    str(len(group)),
                    *(
                        f"{statistics.mean(values):.3f}; {min(values):.2f}"
                        for values in (
                            [r["tpr_at_1"][name] or 0.0 for r in group] for name in DETECTORS
                        )
                    ),
                    f"{statistics.mean(found):.3f}; {min(found):.2f}",
                    f"{statistics.mean(wrong):.4f}; {max(wrong):.4f}",
                    f"{statistics.mean(inside):.2f}",
                    f"{statistics.mean(r['asr_before'] for r in group):.3f}",
                    f"{statistics.mean(r['asr_after'] for r in group):.3f}; "
                    f"{max(r['asr_after'] for r in group):.2f}",
                    f"{statistics.mean(r['ba_before'] - r['ba_after'] for r in group):.3f}",
                ]
            )
    header = ["half", "trusted", "sets", *(f"TPR at 1 %, {d}" for d in DETECTORS.values())]
    header += ["poison flagged", "clean flagged", "rate in interval", "ASR before", "ASR after"]
    return "## Summary\n\nMean; worst.\n\n" + _table([*header, "BA lost"], body)


def _clean(rows: Sequence[Row]) -> str:
    body = [
        [r["task"], r["set"], str(r["seed"]), str(r["trusted"]), str(r["flagged_clean"])]
        for r in rows
        if not r["n_poisoned"]
    ]
    return "## Clean sets\n\n" + _table(["task", "set", "seed", "trusted", "flagged"], body)


def _attacks(rows: Sequence[Row]) -> str:
    body = []
    for name in dict.fromkeys(r["set"] for r in rows if r["n_poisoned"]):
        line = [name, "design" if name in DESIGNED_ON else "report"]
        for trusted in (0, 10):
            group = [r for r in rows if r["set"] == name and r["trusted"] == trusted]
            if not group:
                line += ["–"] * 4
                continue
            low, high = group[0]["interval"]
            line += [
                f"{sum(r['flagged_poisoned'] for r in group)}"
                f"/{sum(r['n_poisoned'] for r in group)}",
                str(sum(r["flagged_clean"] for r in group)),
                f"{group[0]['poison_rate']:.3f} [{low:.3f}, {high:.3f}]",
                f"{statistics.mean(r['asr_after'] for r in group):.2f}",
            ]
        body.append(line)
    header = ["attack", "half"]
    for with_them in ("", ", trusted"):
        header += [
            f"flagged{with_them}",
            f"clean flagged{with_them}",
            f"rate{with_them}",
            f"ASR after{with_them}",
        ]
    return "## Attack by attack, seed 0\n\n" + _table(header, body)


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
