"""The main job on real speech: the table in docs/results.md.

    python benchmarks/main_job.py --data ../shared/data            # run what is missing
    python benchmarks/main_job.py --table                          # rebuild the table from the rows

One row per (trigger, rate, seed) in ``benchmarks/results/main_job.jsonl``; a row that is there is
not run again. Row by row: poison the training split of Arabic Speech Commands (speaker-disjoint),
train the CNN, measure the risks on the test split, audit with ten trusted clips a class.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import otoscope as oto
from otoscope import metrics
from otoscope.auditing import by_default, look, scan
from otoscope.cache import Cache
from otoscope.concluding import conclude
from otoscope.detect import DETECTORS
from otoscope.evidence import Verdict
from otoscope.registry import build
from otoscope.triggers import TRIGGERS
from peers import peers
from rows import fill, options, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "main_job.jsonl"
PAGE = HERE.parent / "docs" / "results.md"

TRIGGER_SPECS = {
    "tone burst": "tone:frequency_hz=3000,duration_s=0.1,level_db=-20",
    "noise blend": "noise",
    "recorded clip": "recording",
    "near-Nyquist tone": "near-nyquist",
}
RATES = (0.01, 0.03, 0.10)
SEEDS = (0, 1, 2)
CLEAN_SEEDS = (0, 1, 2, 3, 4)
NETWORK = oto.networks.CNN()


def jobs() -> Iterator[dict[str, Any]]:
    """Every row that the table needs, clean models first."""
    for seed in CLEAN_SEEDS:
        yield {"trigger": "none", "rate": 0.0, "seed": seed}
    for seed in SEEDS:
        for trigger in TRIGGER_SPECS:
            for rate in RATES:
                yield {"trigger": trigger, "rate": rate, "seed": seed}


def run(job: dict[str, Any], splits: Any, cache: Cache | None) -> dict[str, Any]:
    """One row: poison, train, measure, audit."""
    seed, train = job["seed"], splits.train
    row: dict[str, Any] = {}
    truth = np.zeros(len(train), dtype=bool)
    clips = train
    # the target goes round with the seed, so that no class is special
    target = train.classes[(5 * seed + 1) % len(train.classes)]
    trigger = shift = None
    if job["trigger"] != "none":
        trigger = build(TRIGGERS, TRIGGER_SPECS[job["trigger"]])
        shift = oto.labels.AllToOne(target)
        bad = oto.poison(train, trigger, shift, job["rate"], seed)
        clips, truth = bad.clips, bad.mask
    started = time.monotonic()
    model = oto.train(NETWORK, clips, seed=seed, validation=splits.validation, cache=cache)
    row["train_seconds"] = round(time.monotonic() - started, 1)
    if trigger is not None and shift is not None:
        measured = oto.risks(model, splits.test, trigger, shift, seed)
        row |= {"target": target, "ba": measured.benign_accuracy}
        row |= {"asr": measured.attack_success_rate, "snr_db": measured.perceptible.snr_db}
    else:
        seen = oto.models.activations(model, splits.test)
        row["ba"] = metrics.accuracy(seen.predicted, splits.test.labels)
    started = time.monotonic()
    view = look(model, clips, trusted=splits.trusted, seed=seed, cache=cache)
    findings = [scan(build(DETECTORS, name), view) for name in by_default(view)]
    verdict = conclude(view, findings)
    row["audit_seconds"] = round(time.monotonic() - started, 1)
    row |= {"verdict": verdict.outcome.value, "p_value": verdict.p_value}
    row["targets"] = verdict.targets
    row |= {"all": flags(verdict, truth)}
    row["detectors"] = {}
    for finding in findings:
        alone = conclude(view, [finding])
        measured_alone = {"p_value": finding.evidence.p_value, "target": finding.evidence.target}
        measured_alone["seconds"] = finding.evidence.seconds
        measured_alone["passes"] = finding.evidence.forward_passes
        if finding.scores and finding.scores.clips is not None:
            measured_alone |= flags(alone, truth)
            measured_alone["auroc"] = metrics.auroc(finding.scores.clips, truth)
            measured_alone["tpr_at_1"] = metrics.tpr_at_fpr(finding.scores.clips, truth)
        row["detectors"][finding.evidence.detector] = measured_alone
    if view.seen is not None and view.seen.features is not None:
        row["peers"] = peers(view.seen.features, clips.labels, truth, job["rate"])
    return row


def flags(verdict: Verdict, truth: np.ndarray) -> dict[str, float]:
    """Share of poisoned and of clean clips flagged at the shipped decision."""
    flagged = np.array([clip.flagged for clip in verdict.clips])
    return {
        "flagged_poisoned": float(flagged[truth].mean()) if truth.any() else float("nan"),
        "flagged_clean": float(flagged[~truth].mean()),
    }


def rows() -> list[dict[str, Any]]:
    """The rows measured so far."""
    return read(ROWS)


def main() -> None:
    """Run the rows that are missing, then rebuild the page."""
    chosen = options(__doc__)
    if not chosen.table:
        splits = oto.datasets.arabic_speech_commands(chosen.data / "arabic-speech-commands-12")
        cache = Cache.default()
        fill(ROWS, jobs(), lambda job: run(job, splits, cache), chosen.part, summary)
    PAGE.write_text(page(rows()))
    print(PAGE)


def summary(row: dict[str, Any]) -> str:
    """One line about a new row."""
    told = {k: row[k] for k in ("trigger", "rate", "seed", "ba", "verdict", "targets")}
    return f"{told} ASR {row.get('asr', float('nan')):.3f}"


def page(done: list[dict[str, Any]]) -> str:
    """docs/results.md from the rows."""
    from results_page import render

    return render(done)


if __name__ == "__main__":
    main()
