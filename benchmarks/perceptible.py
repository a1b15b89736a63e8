"""How easily people and machines notice each published attack: columns of docs/attacks.md.

    python benchmarks/perceptible.py --data ../shared/data          # run what is missing
    python benchmarks/perceptible.py --table                        # rebuild the page from the rows

One row per attack in ``benchmarks/results/perceptible.jsonl``, keywords and CNN, seed 0: what the
trigger alone does to test clips, to a model that was never poisoned, and to a classifier that was
told which clips carry it. Needs the extra ``quality``.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import catalogue
import otoscope as oto
from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, carry_out
from otoscope.detectability import told_auroc
from otoscope.networks import NETWORKS
from otoscope.registry import build
from rows import Job, Row, fill, options

SEED = 0


def jobs() -> Iterator[Job]:
    """One row for each published attack."""
    for entry in CATALOGUE:
        yield {"attack": entry.name, "seed": SEED}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """The first of the attack's triggers on test clips."""
    entry = next(e for e in CATALOGUE if e.name == job["attack"])
    splits, network = catalogue.data("keywords", folder), build(NETWORKS, "cnn")
    attack = carry_out(entry, splits, network, SEED, cache=cache).attacks[0]
    never_poisoned = oto.train(
        network, splits.train, seed=SEED, validation=splits.validation, cache=cache
    )
    measured = oto.risks(
        never_poisoned, splits.test, attack.trigger, attack.shift, SEED, quality=True
    )
    return asdict(measured.perceptible) | {
        "asr_clean_model": measured.attack_success_rate,
        "told_auroc": told_auroc(splits.test, attack.trigger, SEED),
    }


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['attack']}: {row['audible_share']:.2f} audible, told {row['told_auroc']:.2f}, "
        f"clean model {row['asr_clean_model']:.2f}"
    )


def main() -> None:
    """Run the rows that are missing, then rebuild the page."""
    chosen = options(__doc__)
    if not chosen.table:
        cache = Cache.default()
        path = catalogue.PERCEPTIBLE_ROWS
        fill(path, jobs(), lambda job: run(job, chosen.data, cache), chosen.part, summary)
    catalogue.PAGE.write_text(catalogue.page())
    print(catalogue.PAGE)


if __name__ == "__main__":
    main()
