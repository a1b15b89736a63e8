"""Models mended with trusted clips alone: the tables in docs/repairs.md.

    python benchmarks/repairing.py --data ../shared/data            # run what is missing
    python benchmarks/repairing.py --table                          # rebuild the tables from rows

One row per (task, network, set, seed) in ``benchmarks/results/repairing.jsonl``: a model that was
trained on an attack of the catalogue at 3 %, or on clean data, before and after each repair. The
default of fine-tuning was chosen on four attacks of the design half (a tone burst, rain, a style, a
gap of silence), at seed 100, on a third of the keywords; only attacks of the other half are here.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import catalogue
import cleaning
import otoscope as oto
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.detect.listening import taught
from otoscope.metrics import accuracy
from otoscope.models import AudioModel, TorchModel, activations
from otoscope.networks import NETWORKS
from otoscope.registry import build
from otoscope.repairs import FineTune
from rows import Job, Row, below, complete, read, share, table

HERE = Path(__file__).parent
ROWS = HERE / "results" / "repairing.jsonl"
PAGE = HERE.parent / "docs" / "repairs.md"
MARK = "<!-- tables: python benchmarks/repairing.py --table -->\n"

RATE, WORKS = 0.03, 0.8
CLEAN = (("keywords", "cnn", 0), ("speakers", "cnn", 0), ("keywords", "gru-attention", 0))

METHODS = {
    "fine-tune, ten clips a class": (FineTune(), 10),
    "fine-tune, three clips a class": (FineTune(), 3),
    "plain fine-tuning, ten clips a class": (FineTune(varied=False), 10),
    "from nothing on ten clips a class": (None, 10),
}
"""Each repair and its trusted clips; None trains a new network on these, for comparison."""


def jobs() -> Iterator[Job]:
    """Every attack on keywords; of each four one on speakers and one on the GRU, of each eight one
    on the raw waveform; clean models."""
    for number, name in enumerate(cleaning.held_out()):
        if number < len(CLEAN):
            task, network, seed = CLEAN[number]
            yield _job(task, network, "clean", seed)
        yield _job("keywords", "cnn", name, 0)
        if number % 4 == 1:
            yield _job("speakers", "cnn", name, 0)
        if number % 4 == 3:
            yield _job("keywords", "gru-attention", name, 0)
        if number % 8 == 0:
            yield _job("keywords", "m5", name, 0)


def _job(task: str, network: str, name: str, seed: int) -> Job:
    rate = 0.0 if name == "clean" else RATE
    return {"task": task, "network": network, "set": name, "rate": rate, "seed": seed}


def run(job: Job, folder: Path, cache: Cache) -> Row:
    """One model, before and after each repair: attack success (the mean of several), accuracy."""
    splits, seed = catalogue.data(job["task"], folder), job["seed"]
    model, _, _, _, attacks = cleaning.made(job, splits, cache)
    assert isinstance(model, TorchModel)

    def measured(one: AudioModel) -> dict[str, float]:
        if attacks:
            asr, ba = cleaning.measured(one, splits, attacks, seed, cache)
            return {"ba": ba, "asr": asr}
        return {"ba": accuracy(activations(one, splits.test).predicted, splits.test.labels)}

    row: Row = {"before": measured(model)}
    for name, (method, per_class) in METHODS.items():
        known = splits.trusted.per_class(per_class)
        row[name] = measured(_mended(model, method, known, job, cache))
    return row


def _mended(
    model: TorchModel, method: FineTune | None, known: Clips, job: Job, cache: Cache
) -> AudioModel:
    if method is not None:
        return oto.repair(model, known, method=method, seed=job["seed"], cache=cache)
    network, steps = (
        build(NETWORKS, job["network"]),
        FineTune().steps_per_class * len(known.classes),
    )
    return taught(known, steps=steps, seed=job["seed"], cache=cache, network=network)


def tables(rows: list[Row]) -> str:
    """What each repair leaves of the attacks and costs in accuracy; then every model."""
    parts = [_summary(rows), _every(rows)]
    return "\n".join(parts)


def _waves(row: Row) -> bool:
    """Whether the network hears the waveform, as a stranger's does, so that this is varied."""
    return bool(row["network"] == "m5")


def _summary(rows: list[Row]) -> str:
    bad = [r for r in rows if r["before"].get("asr", 0) >= WORKS]
    groups = {
        "keywords, backdoored": [r for r in bad if r["task"] == "keywords" and not _waves(r)],
        "keywords by the waveform (M5), backdoored": [r for r in bad if _waves(r)],
        "speakers, backdoored": [r for r in bad if r["task"] == "speakers"],
        "clean models": [r for r in rows if r["set"] == "clean"],
    }
    body = []
    for group, some in groups.items():
        for name in METHODS if some else ():
            left = [r[name]["asr"] for r in some if "asr" in r[name]]
            lost = [r["before"]["ba"] - r[name]["ba"] for r in some]
            gone = sum(asr < 0.1 for asr in left)
            line = [group, name, f"{len(some)}"]
            line += [f"{np.mean(left):.3f}; {max(left):.2f}" if left else "–"]
            line += [share(gone, len(left))]
            line += [f"{np.mean(lost):+.3f}; {max(lost):+.3f}"]
            body.append(line)
    header = ["models", "repair", "number", "ASR after", "ASR under 0.1", "accuracy lost"]
    return (
        "## Measured\n\nMean; worst. Backdoored: a success of 0.8 or more before the repair.\n\n"
        + table(header, body)
    )


def _every(rows: list[Row]) -> str:
    body = [
        [
            f"{row['task']}, {row['network']}",
            row["set"],
            *(_told(row[name]) for name in ("before", *METHODS)),
        ]
        for row in rows
    ]
    header = ["model", "set", "before", *METHODS]
    return "## Every model\n\nAttack success, accuracy.\n\n" + table(header, body)


def _told(found: dict[str, float]) -> str:
    obeyed = f"{found['asr']:.2f}, " if "asr" in found else ""
    return f"{obeyed}{found['ba']:.3f}"


def summary(row: Row) -> str:
    """One line about a new row."""
    found = ", ".join(f"{name} {_told(row[name])}" for name in ("before", *METHODS))
    return f"{row['task']} {row['network']} {row['set']}: {found}"


def page() -> str:
    """docs/repairs.md with its tables made from the rows."""
    return below(PAGE, MARK, tables(read(ROWS)))


if __name__ == "__main__":
    complete(__doc__, ROWS, jobs, run, summary, PAGE, page)
