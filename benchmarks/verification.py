"""Attacks on speaker verification, measured on speakers whom training never heard.

    python benchmarks/verification.py --data ../shared/data

One row per (attack, seed) in ``benchmarks/results/verification.jsonl``; ``catalogue.py`` puts them
on docs/attacks.md. Twenty speakers train a classifier, whose embedding verifies the other ten.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import otoscope as oto
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.models import TorchModel
from otoscope.speakers import cluster_wise, verification
from rows import HERE, Job, Row, fill, options

ROWS = HERE / "results" / "verification.jsonl"
SEEDS = (0, 1, 2)
TRAINED = 20
CLUSTERS = (2, 4, 8)
RATE = 0.15


def jobs() -> Iterator[Job]:
    """Cluster-wise triggers by number of clusters, and poisoned enrolment."""
    for seed in SEEDS:
        for clusters in CLUSTERS:
            yield {"attack": f"cluster-wise, {clusters}", "clusters": clusters, "seed": seed}
        for nearest in (False, True):
            compared = "nearest clip" if nearest else "mean"
            yield {"attack": f"enrolment, {compared}", "nearest": nearest, "seed": seed}


def run(job: Job, folder: Path, cache: Cache | None) -> Row:
    """One row: the clean verifier, the attacked one, and how often doors open."""
    splits, seed = oto.datasets.arabic_speakers(folder / "arabic-speech-commands-12"), job["seed"]
    names = splits.train.classes
    train, validation = (among(part, names[:TRAINED]) for part in (splits.train, splits.validation))
    enrolment, trials = (among(part, names[TRAINED:]) for part in (splits.validation, splits.test))

    def trained(clips: Clips) -> TorchModel:
        return oto.train(oto.networks.CNN(), clips, seed=seed, validation=validation, cache=cache)

    clean = trained(train)
    row: Row = {}
    nearest = job.get("nearest", False)
    if "clusters" in job:
        attacks = cluster_wise(clean, train, job["clusters"], RATE, seed, cache=cache)
        triggers = [attack.trigger for attack in attacks]
        model = trained(oto.poison_all(train, attacks, seed).clips)
        known = among(splits.test, names[:TRAINED])
        row["in_cluster"] = float(
            np.mean(
                [
                    oto.risks(model, known, a.trigger, a.shift, seed).attack_success_rate
                    for a in attacks
                ]
            )
        )
        told = verification(model, enrolment, trials, triggers, seed)
    else:
        tone = oto.triggers.Tone(duration_s=trials.duration_s, level_db=-10)
        triggers = [tone]
        bad = oto.poison(enrolment, tone, oto.labels.AllToAll(), RATE, seed)
        sober = verification(clean, enrolment, trials, triggers, seed, nearest=nearest)
        told = verification(
            clean, bad.clips, trials, triggers, seed, nearest=nearest, threshold=sober.threshold
        )
    before = verification(clean, enrolment, trials, triggers, seed, nearest=nearest)
    return row | {
        "eer_clean": before.equal_error_rate,
        "eer": told.equal_error_rate,
        "door_clean_model": before.door_rate,
        "door": told.door_rate,
        "door_without_trigger": told.door_rate_clean,
        "speakers": told.speakers,
    }


def among(clips: Clips, names: tuple[str, ...]) -> Clips:
    """The clips of some speakers, who are all the classes there are."""
    kept = clips.subset(np.array([clip.label in names for clip in clips]))
    return replace(kept, classes=names)


def main() -> None:
    """Run the rows that are missing."""
    chosen = options(__doc__)
    cache = Cache.default()
    fill(
        ROWS,
        jobs(),
        lambda job: run(job, chosen.data, cache),
        chosen.part,
        lambda row: f"{row['attack']} seed {row['seed']}: door {row['door']:.3f}",
    )


if __name__ == "__main__":
    main()
