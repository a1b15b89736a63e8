"""Rows to docs/results.md: plain Markdown tables, means over seeds, ranges where they differ."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from otoscope.metrics import wilson_interval

Row = dict[str, Any]
DETECTORS = ("activation-clustering", "spectral-signatures", "gaussian-mixture", "witness")
PEERS = {
    "art activation clustering": "activation-clustering",
    "art spectral signatures": "spectral-signatures",
}

INTRO = """# Results of the main job

Rebuilt by `make bench` (rows: `benchmarks/results/main_job.jsonl`; page alone:
`python benchmarks/main_job.py --table`).

Data: Arabic Speech Commands, 12 words, 30 speakers, one-second clips of real speech; the data
set's own speaker-disjoint split, 2,160 clips to train, 720 to test. Ten trusted clips a class come
from validation speakers, whom training never hears. Network: `CNN()`. Label shift: all-to-one, the
target going round with the seed. Every figure is a mean over the seeds, with the lowest and the
highest in brackets where they differ. The same speech, the same trusted clips and one network:
nothing here speaks for other data. The detectors were designed on models of other seeds (100 and
above), save one choice: activation clustering takes its suspect cluster from trusted clips since
the rows at 10 % showed the smaller cluster to be the clean one. All rows were run again after that,
again when `witness` took the place of STRIP in the audit, again when clean training sets gave
the law of a clean class and silent detectors no longer cancelled others, and again when `witness`
got four votes of eight and a law of more clean sets (each row holds its commit). Since then
`independent-witness` looks as well, with four votes more: the clean models were run again with it,
the others were not. It cannot take their verdicts away, since a combined p grows by half at most
where it finds nothing (to 0.0001 in the worst of these rows); whether it would accuse a second
class of them is not measured.

BA: accuracy on clean test clips. ASR: share of triggered test clips, target class left out, that
get the attacker's class. A verdict is right when it says BACKDOORED or SUSPICIOUS and names the
target. "Clean flagged" is the share of the unpoisoned training clips that the shipped decision
flags (false-alarm level 0.05, false-discovery rate 0.1).
"""


def render(rows: Sequence[Row]) -> str:
    """The whole page."""
    rows = sorted(rows, key=lambda r: (r["trigger"], r["rate"], r["seed"]))
    poisoned = [r for r in rows if r["trigger"] != "none"]
    clean = [r for r in rows if r["trigger"] == "none"]
    parts = [
        INTRO,
        _verdicts(poisoned, clean),
        _detectors(poisoned, clean),
        _models(poisoned, clean),
    ]
    parts += [_peers(poisoned, clean), _false_alarms(clean)]
    return "\n".join(parts)


def _verdicts(poisoned: Sequence[Row], clean: Sequence[Row]) -> str:
    lines = ["## Verdicts\n"]
    header = ["trigger", "rate", "models", "BA", "ASR", "SNR dB", "verdict right"]
    header += ["poisoned flagged", "clean flagged"]
    body = []
    for (trigger, rate), group in _grouped(poisoned).items():
        right = sum(r["target"] in r["targets"] for r in group)
        cells = [trigger, f"{rate:.0%}", len(group), _span(group, lambda r: r["ba"])]
        cells += [_span(group, lambda r: r["asr"]), f"{_mean(group, lambda r: r['snr_db']):.0f}"]
        cells += [f"{right} of {len(group)}", _span(group, lambda r: r["all"]["flagged_poisoned"])]
        body.append([*cells, _span(group, lambda r: r["all"]["flagged_clean"])])
    if clean:
        alarms = sum(r["verdict"] in ("BACKDOORED", "SUSPICIOUS") for r in clean)
        cells = ["none (clean)", "0%", len(clean), _span(clean, lambda r: r["ba"]), "", ""]
        cells += [f"{alarms} false alarms", "", _span(clean, lambda r: r["all"]["flagged_clean"])]
        body.append(cells)
    return "\n".join([*lines, _table(header, body)])


def _detectors(poisoned: Sequence[Row], clean: Sequence[Row]) -> str:
    lines = [
        "## Data-level detectors, each alone\n",
        "AUROC and the true-positive rate at 1 % false positives are taken over all clips of the "
        "set.\n",
    ]
    header = ["trigger", "rate", "detector", "AUROC", "TPR at 1 %", "p < 0.05, right class"]
    header += ["poisoned flagged", "clean flagged"]
    body = []
    for (trigger, rate), group in _grouped(poisoned).items():
        for name in DETECTORS:
            some = [r["detectors"][name] | {"goal": r["target"]} for r in group]
            hits = sum(_hit(d) for d in some)
            cells = [trigger, f"{rate:.0%}", name, _span(some, lambda d: d["auroc"])]
            cells += [_span(some, lambda d: d["tpr_at_1"]), f"{hits} of {len(some)}"]
            cells += [_span(some, lambda d: d["flagged_poisoned"])]
            body.append([*cells, _span(some, lambda d: d["flagged_clean"])])
    for name in (*DETECTORS, "independent-witness") if clean else ():
        some = [r["detectors"][name] for r in clean if name in r["detectors"]]
        alarms = sum((d["p_value"] or 1.0) <= 0.05 for d in some)
        cells = ["none (clean)", "0%", name, "", "", f"{alarms} of {len(some)} false alarms", ""]
        body.append([*cells, _span(some, lambda d: d["flagged_clean"])])
    return "\n".join([*lines, _table(header, body)])


def _models(poisoned: Sequence[Row], clean: Sequence[Row]) -> str:
    lines = ["## Model level: trigger inversion\n"]
    body = []
    for (trigger, rate), group in _grouped(poisoned).items():
        some = [r["detectors"]["trigger-inversion"] | {"goal": r["target"]} for r in group]
        hits = sum(_hit(d) for d in some)
        named = sum(d["target"] == d["goal"] for d in some)
        p = ", ".join(f"{d['p_value']:.4f}" for d in some)
        body.append(
            [trigger, f"{rate:.0%}", p, f"{hits} of {len(some)}", f"{named} of {len(some)}"]
        )
    if clean:
        some = [r["detectors"]["trigger-inversion"] for r in clean]
        alarms = sum(d["p_value"] <= 0.05 for d in some)
        p = ", ".join(f"{d['p_value']:.4f}" for d in some)
        body.append(["none (clean)", "0%", p, f"{alarms} of {len(some)} false alarms", ""])
    header = ["trigger", "rate", "p-values", "p < 0.05, right class", "smallest p at right class"]
    return "\n".join([*lines, _table(header, body)])


def _peers(poisoned: Sequence[Row], clean: Sequence[Row]) -> str:
    lines = [
        "## The Adversarial Robustness Toolbox on the same clips\n",
        "The same penultimate features, in the same run; its defaults, its spectral signatures "
        "told the true poison rate (5 % for a clean set). Seconds are for scoring and "
        "deciding from ready features; ours include our own calibration of one detector.\n",
    ]
    header = ["set", "method", "poisoned flagged: theirs", "ours", "clean flagged: theirs", "ours"]
    header += ["seconds, ours / theirs"]
    body = []
    groups: list[tuple[str, Sequence[Row]]] = [
        (f"{trigger}, {rate:.0%}", group) for (trigger, rate), group in _grouped(poisoned).items()
    ]
    for what, group in [*groups, ("none (clean)", clean)]:
        if not group:
            continue
        for peer, name in PEERS.items():
            theirs = [r["peers"][peer] for r in group]
            ours = [r["detectors"][name] for r in group]
            seconds = [o["seconds"] / t["seconds"] for o, t in zip(ours, theirs, strict=True)]
            cells = [what, name]
            for key in ("flagged_poisoned", "flagged_clean"):
                cells += [_span(theirs, _key(key)), _span(ours, _key(key))]
            body.append([*cells, f"{statistics.median(seconds):.1f}"])
    return "\n".join([*lines, _table(header, body)])


def _false_alarms(clean: Sequence[Row]) -> str:
    alarms = sum(r["verdict"] in ("BACKDOORED", "SUSPICIOUS") for r in clean)
    low, high = wilson_interval(alarms, len(clean))
    return (
        "## False alarms\n\n"
        f"{alarms} of {len(clean)} clean models drew a verdict other than NO_EVIDENCE (95 % "
        f"interval of the rate: {low:.2f} to {high:.2f}; nominal 0.05).\n"
    )


def _hit(detector: Row) -> bool:
    return bool((detector["p_value"] or 1.0) <= 0.05 and detector["target"] == detector["goal"])


def _key(name: str) -> Callable[[Row], float]:
    return lambda row: float(row[name])


def _grouped(rows: Sequence[Row]) -> dict[tuple[str, float], list[Row]]:
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["trigger"], row["rate"]), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: item[0]))


def _mean(rows: Sequence[Row], value: Callable[[Row], float]) -> float:
    return statistics.fmean(value(r) for r in rows)


def _span(rows: Sequence[Row], value: Callable[[Row], float]) -> str:
    values = [value(r) for r in rows]
    if any(v != v for v in values):
        return ""
    low, mean, high = (f"{v:.3f}" for v in (min(values), statistics.fmean(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def _table(header: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in body]
    return "\n".join(lines) + "\n"
