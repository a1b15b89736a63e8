"""The picture and the sounds of docs/redteam-results.md, from the rows.

    python benchmarks/redteam_exhibits.py

The sounds are one spoken command of the demonstration data, before, and with the trigger of every
decided attack that works and got through an audit.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import otoscope as oto
from otoscope.audio import write
from otoscope.metrics import wilson_interval
from otoscope.poisoning import triggered
from otoscope.redteam.arena import IN_VIEW
from otoscope.registry import build
from otoscope.report.canvas import INK, ODD, USUAL, canvas, dress
from otoscope.triggers import TRIGGERS
from redteam_page import SHIPPED, SINGLE, WITHOUT_WITNESS, Row, called, curves, through, working
from rows import read

HERE = Path(__file__).parent
ROWS = HERE / "results" / "redteam.jsonl"
PICTURE = HERE.parent / "docs" / "pictures" / "redteam.png"
SOUNDS = HERE.parent / "docs" / "redteam-sounds"


def picture(rows: Sequence[Row], path: Path) -> None:
    """Left the degradation curves; right what each watcher missed, and its false alarms."""
    figure = canvas(9, 4)
    left, right = figure.subplots(1, 2)
    dress(left, "Highest reward so far, median of the seeds", "queries", "reward")
    searches = [row for row in rows if row["kind"] == "search"]
    for number, (name, (_, middle, _)) in enumerate(curves(searches).items()):
        style = ("-", "--", ":", "-.")[number % 4]
        shade = (INK, USUAL, ODD)[number % 3]
        left.plot(np.arange(1, len(middle) + 1), middle, style, color=shade, label=name)
    left.legend(frameon=False, fontsize=8, loc="lower right")
    dress(right, "Missed (circles), false alarms (squares)", "share")
    names = (*IN_VIEW, *SINGLE, WITHOUT_WITNESS, SHIPPED)
    decided = working([row for row in rows if row["kind"] == "decided"], "decided")
    clean = [row for row in rows if row["kind"] == "clean"]
    kinds = (
        (
            [[one["suspicion"][n] < 1 for one in decided] for n in names],
            -0.15,
            USUAL,
            "o",
        ),
        ([[r["suspicion"][n] >= 1 for r in clean] for n in names], 0.15, ODD, "s"),
    )
    for hits, offset, shade, mark in kinds:
        for place, one in enumerate(hits):
            if one:
                low, high = wilson_interval(sum(one), len(one))
                right.plot([low, high], [place + offset] * 2, color=shade, linewidth=1)
                share = sum(one) / len(one)
                right.plot(share, place + offset, mark, color=shade, markersize=4)
    right.set_yticks(range(len(names)), [called(name) for name in names])
    right.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    figure.savefig(path)


def sounds(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write them; returns the files. None when nothing got through."""
    found = through(rows)
    if not found:
        return []
    clips = oto.datasets.demo(seed=0).test
    folder.mkdir(exist_ok=True)
    written = [folder / "before.flac"]
    write(written[0], clips.waveform(0), clips.sample_rate)
    for name, one in found.items():
        trigger = build(TRIGGERS, one["attack"]["trigger"])
        written.append(folder / f"{name}.flac")
        write(written[-1], triggered(clips, trigger, 0, 0), clips.sample_rate)
    return written


if __name__ == "__main__":
    known = read(ROWS)
    picture(known, PICTURE)
    for path in (PICTURE, *sounds(known, SOUNDS)):
        print(path)
