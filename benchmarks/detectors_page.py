"""Rows to docs/detectors.md."""

import statistics
from collections.abc import Sequence

from rows import Row, table

OBEYED = 0.8

HEAD = """# Every data-level detector on the same sets

Rebuilt by `python benchmarks/detectors.py` (rows: `benchmarks/results/detectors.jsonl`; page
alone: with `--table`). The sets are those of [cleaning](cleaning.md): real speech, attacks that
no detector of ours was designed on, each at one poison rate from 0.5 to 10 %, of which those
count here whose model obeys the trigger in 0.8 of the clips or more; and ten clean sets, three
of them with an honest nuisance sound in 8 % of their clips. One poisoned set is one draw: read
differences of a few per cent as none. Detectors with fewer sets lack the last ones, which are
harder (an optimised generator, kept labels, one source class); `confusion-training` was asked
about three single ones. `cognitive-distillation` (too slow) and `independent-witness` (no model
is delivered with these sets) are not here; the seconds of `frequency-artefacts` are from before
it was made faster.

- TPR: true-positive rate at 1 % false positives, mean and worst over the sets: the method at
  its best threshold, which nobody knows.
- paper: share of the poison, and of the clean clips of poisoned sets, that are flagged by the
  decision of the method's paper, where it makes one. Spectral signatures and SPECTRE are told
  the true rate.
- clean: share of the clips of clean sets that the paper's decision flags (of those that are
  told the rate, none by definition), and in how many clean sets the method accuses a class at p
  0.05 against the set's other classes (`witness`: against the law of clean training sets). These
  rows were made before that law held for the others, too ([calibration](calibration.md)).
- art: the Adversarial Robustness Toolbox on the same activations, at its defaults; it decides and
  does not rank.
- passes: forward passes over the data; s: median seconds on one busy core, without the training of
  networks that were in the cache already (`witness`: three or four small ones).
"""


def render(rows: Sequence[Row], cleaned: Sequence[Row]) -> str:
    """The page: a table with ten trusted clips a class, and one with none."""
    obeyed = {_key(row) for row in cleaned if row["n_poisoned"] and row["asr"] >= OBEYED}
    parts = [HEAD]
    for trusted, title in ((10, "With ten trusted clips a class"), (0, "Without trusted clips")):
        some = [row for row in rows if row["trusted"] == trusted]
        parts.append(f"## {title}\n\n{_detectors(some, obeyed)}")
    parts.append(f"## AUROC by attack, ten trusted clips a class\n\n{_by_attack(rows, obeyed)}")
    return "\n".join(parts)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("task", "network", "set", "rate", "seed"))


def _detectors(rows: Sequence[Row], obeyed: set[tuple[str, ...]]) -> str:
    body = []
    for name in dict.fromkeys(row["detector"] for row in rows):
        own = [row for row in rows if row["detector"] == name]
        bad = [row for row in own if _key(row) in obeyed and not row["reason"]]
        clean = [row for row in own if not row["n_poisoned"]]
        if not bad:
            continue
        spoke = [row for row in clean if row["p_value"] is not None]
        named = [row["target_first"] for row in bad if row.get("target_first") is not None]
        rates = [row["tpr_at_1"] for row in bad if "tpr_at_1" in row]
        body.append(
            [
                f"`{name}`",
                str(len(bad)),
                _mean(row.get("auroc") for row in bad),
                f"{_mean(rates)}; {min(rates):.2f}" if rates else "–",
                _mean(named, 2),
                _mean((r.get("flagged_poisoned") for r in bad), 2),
                _mean((r.get("flagged_clean") for r in bad), 3),
                _mean((r.get("flagged_clean") for r in clean), 3),
                f"{sum(row['p_value'] <= 0.05 for row in spoke)} of {len(spoke)}" if spoke else "–",
                f"{statistics.median(row['forward_passes'] for row in bad):g}",
                f"{statistics.median(row['seconds'] for row in bad):.0f}",
            ]
        )
    body.sort(key=lambda line: line[3].replace("–", ""), reverse=True)
    header = ["detector", "sets", "AUROC", "TPR", "target named", "paper: poison", "paper: clean"]
    return table([*header, "clean: clips", "clean: sets", "passes", "s"], body)


def _mean(values: object, digits: int = 3) -> str:
    known = [float(v) for v in values if v is not None]  # type: ignore[attr-defined]
    return f"{statistics.mean(known):.{digits}f}" if known else "–"


def _by_attack(rows: Sequence[Row], obeyed: set[tuple[str, ...]]) -> str:
    some = [r for r in rows if r["trusted"] == 10 and _key(r) in obeyed and "auroc" in r]
    names = list(dict.fromkeys(row["detector"] for row in some))
    body = []
    for key in dict.fromkeys(_key(row) for row in some):
        found = {row["detector"]: row["auroc"] for row in some if _key(row) == key}
        line = [f"{found[name]:.2f}" if name in found else "–" for name in names]
        body.append([key[2], key[3], *line])
    return table(["attack", "rate", *names], body)
