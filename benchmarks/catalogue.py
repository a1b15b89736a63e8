"""Every published attack on real speech: the tables in docs/attacks.md.

    python benchmarks/catalogue.py --data ../shared/data            # run what is missing
    python benchmarks/catalogue.py --table                          # rebuild the page from the rows

One row per (data, network, attack, seed) in ``benchmarks/results/catalogue.jsonl``. Row by row:
carry out the attack, measure the three risks on the test split, and how well a machine tells
poisoned clips from clean ones.
"""

import functools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import otoscope as oto
from attacks_page import PLAIN, render
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, carry_out
from otoscope.datasets import Splits
from otoscope.detectability import detectors_auroc
from otoscope.networks import NETWORKS
from otoscope.registry import build
from otoscope.training import Recipe
from rows import Job, Row, complete, read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "catalogue.jsonl"
SPEED_ROWS = HERE / "results" / "throughput.jsonl"
DOOR_ROWS = HERE / "results" / "verification.jsonl"
PERCEPTIBLE_ROWS = HERE / "results" / "perceptible.jsonl"
PAGE = HERE.parent / "docs" / "attacks.md"

SEEDS = (0, 1, 2)
LISTENING = ("activation-clustering", "spectral-signatures", "gaussian-mixture")
MOST_DIFFERENT = (
    "tone burst",
    "ambient rain",
    "reverberation",
    "pitch and masking (PBSM)",
    "style 5",
)
"""Local and additive, global and additive, convolutive, a change of voice, a chain of effects."""
ELSEWHERE = (
    ("keywords", "ds-cnn", SEEDS),
    ("speakers", "cnn", SEEDS),
    ("keywords", "gru-attention", SEEDS),
    ("keywords", "m5", SEEDS[:1]),  # on the raw waveform, seven times as slow to train
)
HIDDEN_BY_AUGMENTATION = (
    "stochastic drift, Hull-White",
    "voice conversion (VSVC)",
    "padding (PaddingBack)",
)
"""What the default recipe's augmentation may teach a network to overlook."""


def jobs() -> Iterator[Job]:
    """Every row that the page needs: the whole catalogue seed by seed, then the other networks."""
    for seed in SEEDS:
        for entry in CATALOGUE:
            yield {"data": "keywords", "network": "cnn", "attack": entry.name, "seed": seed}
    for data, network, seeds in ELSEWHERE:
        for seed in seeds:
            for name in MOST_DIFFERENT:
                yield {"data": data, "network": network, "attack": name, "seed": seed}
    for seed in SEEDS:
        for name in HIDDEN_BY_AUGMENTATION:
            yield {"data": "keywords", "network": PLAIN, "attack": name, "seed": seed}


def run(job: Job, folder: Path, cache: Cache | None) -> Row:
    """One row: carry out, measure the three risks."""
    entry = next(e for e in CATALOGUE if e.name == job["attack"])
    splits, seed = data(job["data"], folder), job["seed"]
    network = build(NETWORKS, job["network"].removesuffix(" without augmentation"))
    recipe = Recipe(shift_share=0, shift_bands=0) if job["network"] == PLAIN else None
    started = time.monotonic()
    done = carry_out(entry, splits, network, seed, recipe=recipe, cache=cache)
    row: Row = {"rate": entry.rate, "cover_rate": entry.cover_rate}
    row["seconds"] = round(time.monotonic() - started, 1)
    reference = oto.train(
        network,
        splits.train,
        seed=seed,
        validation=splits.validation,
        recipe=recipe,
        cache=cache,
    )
    seen = oto.models.activations(reference, splits.test, cache)
    row["clean_ba"] = oto.metrics.accuracy(seen.predicted, splits.test.labels)
    measured = [
        oto.risks(done.model, splits.test, attack.trigger, attack.shift, seed)
        for attack in done.attacks
    ]
    row |= {"ba": measured[0].benign_accuracy, "n_benign": measured[0].n_benign}
    row["asr"] = float(np.mean([one.attack_success_rate for one in measured]))
    row["n_attackable"] = sum(one.n_attackable for one in measured)
    heard = measured[0].perceptible
    row |= {
        "snr_db": heard.snr_db,
        "segmental_snr_db": heard.segmental_snr_db,
        "log_spectral_distance_db": heard.log_spectral_distance_db,
    }
    if done.poisoned is not None:
        view = look(done.model, done.poisoned.clips, trusted=splits.trusted, seed=seed, cache=cache)
        row["detector_auroc"] = detectors_auroc(done.poisoned.mask, view, LISTENING)
    return row


@functools.cache
def data(kind: str, folder: Path) -> Splits:
    """Twelve keywords, or thirty speakers, of the same recordings."""
    load = {
        "keywords": oto.datasets.arabic_speech_commands,
        "speakers": oto.datasets.arabic_speakers,
    }[kind]
    return load(folder / "arabic-speech-commands-12")


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['data']} {row['network']} {row['attack']} seed {row['seed']}: "
        f"BA {row['ba']:.3f} ASR {row['asr']:.3f} in {row['seconds']} s"
    )


def page() -> str:
    """docs/attacks.md from the rows."""
    return render(read(ROWS), read(PERCEPTIBLE_ROWS), read(SPEED_ROWS), read(DOOR_ROWS), CATALOGUE)


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
