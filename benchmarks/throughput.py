"""How much slower poisoning is than reading and writing the same clips.

    python benchmarks/throughput.py --data ../shared/data

One row per trigger in ``benchmarks/results/throughput.jsonl``: the seconds that embedding takes in
real clips over those that reading and writing them takes (FLAC, one by one), medians of rounds that
alternate in one process. Triggers that are optimised first are left out.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import otoscope as oto
from otoscope import audio
from otoscope.registry import build
from otoscope.triggers import TRIGGERS, CraftedTrigger
from rows import HERE, Row, fill, options

ROWS = HERE / "results" / "throughput.jsonl"
CLIPS, ROUNDS = 60, 5


def run(name: str, folder: Path) -> Row:
    """The ratio for one trigger at its defaults."""
    trigger = build(TRIGGERS, name)
    clips = oto.datasets.arabic_speech_commands(folder / "arabic-speech-commands-12").train
    chosen = clips.subset(np.random.default_rng(0).permutation(len(clips))[:CLIPS])
    held = [chosen.waveform(i)[None] for i in range(CLIPS)]
    trigger.embed(held[0], chosen.sample_rate, (0, 0))  # what is made once per process
    ratios, rates = [], []
    with tempfile.TemporaryDirectory() as place:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for number in range(CLIPS):
                samples = chosen.waveform(number)
                audio.write(Path(place) / f"{number}.flac", samples, chosen.sample_rate)
            between = time.perf_counter()
            for number, clip in enumerate(held):
                trigger.embed(clip, chosen.sample_rate, (0, number))
            done = time.perf_counter()
            ratios.append((done - between) / (between - started))
            rates.append(CLIPS / (done - between))
    return {"ratio": statistics.median(ratios), "clips_per_second": statistics.median(rates)}


def main() -> None:
    """Run the rows that are missing."""
    chosen = options(__doc__)
    jobs = ({"trigger": n} for n in TRIGGERS if not issubclass(TRIGGERS[n], CraftedTrigger))
    fill(
        ROWS,
        jobs,
        lambda job: run(job["trigger"], chosen.data),
        chosen.part,
        lambda row: f"{row['trigger']}: {row['ratio']:.2f}",
    )


if __name__ == "__main__":
    main()
