"""Cleaning at scale: the tables and the picture of docs/scale.md.

    python benchmarks/scale.py --data ../shared/data     # run what is missing
    python benchmarks/scale.py --table                   # rebuild page and picture from the rows

One row per (how, n) in ``benchmarks/results/scale.jsonl``: one round of ``otoscope.clean`` on a CSV
of n entries, without trusted clips or a cache, in a process of its own with one thread for torch.
The entries repeat the training split of Arabic Speech Commands, 3 % of it poisoned by a tone,
through folders that are links to one folder. Seconds are processor seconds by stage; memory is the
largest resident set.

``how`` is "real", or "stand-ins" for what an hour cannot compute: all is as it is but that the
decoder gives a recording's number in place of its sound, and networks give what trained ones
answered to that recording. Lists, arrays and files are those of a real run; seconds are not.
"""

import csv
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import otoscope as oto
import scale_stand_ins
from otoscope.clips import Clips
from otoscope.detect import Witness, own_network
from otoscope.poisoning import save
from rows import HERE, Job, Row, fill, options, read
from scale_page import picture, tables

ROWS = HERE / "results" / "scale.jsonl"
PAGE = HERE.parent / "docs" / "scale.md"
PICTURE = HERE.parent / "docs" / "pictures" / "scale.png"
MARK = "<!-- tables: python benchmarks/scale.py --table -->\n"

SIZES = {
    "real": (1_000, 3_000, 10_000, 30_000, 100_000),
    "stand-ins": (10_000, 100_000, 300_000, 1_000_000),
}
RATE, TARGET, SEED = 0.03, "left", 0


def jobs() -> Iterator[Job]:
    """The sizes that fit in an hour, then those that take stand-ins."""
    for how, sizes in SIZES.items():
        for n in sizes:
            yield {"how": how, "n": n}


def made(data: Path, folder: Path) -> Path:
    """The manifest of the poisoned set, written once."""
    manifest = folder / "set" / "manifest.csv"
    if not manifest.exists():
        clips = oto.datasets.arabic_speech_commands(data / "arabic-speech-commands-12").train
        tone, shift = oto.triggers.Tone(), oto.labels.AllToOne(TARGET)
        save(oto.poison(clips, tone, shift, RATE, SEED), folder / "set")
    return manifest


def repeated(manifest: Path, n: int) -> Path:
    """A CSV of n entries: the recordings in random order, again and again under other paths."""
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(SEED).permutation(len(rows)).tolist()
    out = manifest.parent.parent / f"{n}.csv"
    with out.open("w") as file:
        file.write("path,label,speaker\n")
        for number in range(n):
            again, row = number // len(rows), rows[order[number % len(rows)]]
            place = out.parent / f"copy-{again:04d}"
            if not place.exists():
                place.symlink_to(manifest.parent.name)
            file.write(f"{place.name}/{row['path']},{row['label']},{row['speaker']}\n")
    return out


def measured(how: str, manifest: Path, listed: Path) -> Row:
    """Load and clean what is listed; the row of this process."""
    import torch

    torch.set_num_threads(1)
    if how == "stand-ins":
        scale_stand_ins.put_in_place(manifest)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    load = _timed(seconds, "load", Clips.load)
    for owner, name, stage in (
        (own_network, "train", "probe"),
        (auditing, "activations", "forward"),
        (Witness, "testimony", "witnesses"),
    ):
        setattr(owner, name, _timed(seconds, stage, getattr(owner, name)))
    clips = load(listed)
    found = _timed(seconds, "decide", oto.clean)(clips, rounds=1, seed=SEED)
    seconds["decide"] -= sum(seconds[stage] for stage in ("probe", "forward", "witnesses"))
    with (manifest.parent / "truth.csv").open() as file:
        poison = {row["path"] for row in csv.DictReader(file) if row["poisoned"] == "1"}
    truth = np.array([clip.path.partition("/")[2] in poison for clip in clips.items])
    return {
        "seconds": seconds,
        "wall_seconds": time.perf_counter() - started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "poisoned": int(truth.sum()),
        "found": int(found.flagged[truth].sum()),
        "flagged_clean": int(found.flagged[~truth].sum()),
    }


def _timed(seconds: dict[str, float], stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        started = time.process_time()
        done = work(*args, **named)
        seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - started
        return done

    return run


def run(job: Job, data: Path, folder: Path) -> Row:
    """One row."""
    manifest = _alone(made, data, folder)
    if job["how"] == "stand-ins":
        _alone(scale_stand_ins.prepare, manifest)
    return _alone(measured, job["how"], manifest, repeated(manifest, job["n"]))


def _alone(work: Callable[..., Any], *args: Any) -> Any:
    """What it returns in a process of its own: this one stays small, as its memory counts there."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        return process.submit(work, *args).result()


def summary(row: Row) -> str:
    """One line about a new row."""
    return (
        f"{row['how']} {row['n']}: {row['peak_bytes'] / 2**30:.2f} GiB, "
        f"{row['found']} of {row['poisoned']} found, {row['flagged_clean']} clean flagged, "
        f"processor seconds {json.dumps({k: round(s, 1) for k, s in row['seconds'].items()})}"
    )


def page() -> str:
    """docs/scale.md with its tables made from the rows."""
    words, _, _ = PAGE.read_text().partition(MARK)
    return words + MARK + tables(read(ROWS))


def main() -> None:
    """Run the rows that are missing, then rebuild page and picture."""
    chosen = options(__doc__)
    if not chosen.table:
        os.environ["OMP_NUM_THREADS"] = "1"
        with tempfile.TemporaryDirectory() as folder:
            fill(ROWS, jobs(), lambda j: run(j, chosen.data, Path(folder)), chosen.part, summary)
    PAGE.write_text(page())
    picture(read(ROWS), PICTURE)
    print(PAGE)


if __name__ == "__main__":
    main()
