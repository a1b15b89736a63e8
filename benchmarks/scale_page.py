"""Rows to the tables and the picture of docs/scale.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from otoscope.report.canvas import FAINT, INK, ODD, USUAL, canvas, dress

Row = dict[str, Any]

MILLION = 1_000_000
STAGES = ("load", "probe", "forward", "witnesses", "decide")
FITTED_FROM = 10_000
"""Below this many clips, what a probe learns from still grows with them."""

GIB = 2**30
LIMIT_GIB = 2.0


def tables(rows: Sequence[Row]) -> str:
    """Seconds, memory, and what follows for a million clips."""
    real, stand_ins = (_of(rows, how) for how in ("real", "stand-ins"))
    lines = [
        "## Seconds",
        "",
        "Processor seconds of one round, one thread for torch, by stage.",
        "",
        f"| clips | {' | '.join(STAGES)} | all | ms a clip | poison | found | clean flagged |",
        f"|{' --- |' * (len(STAGES) + 6)}",
        *(
            f"| {row['n']:,} | {' | '.join(format(row['seconds'][s], '.1f') for s in STAGES)} "
            f"| {_all(row):.0f} | {1000 * _all(row) / row['n']:.1f} "
            f"| {row['poisoned']} | {row['found']} | {row['flagged_clean']} |"
            for row in real
        ),
        "",
        "## Memory",
        "",
        "Largest resident set of the process, everything counted.",
        "",
        "| clips | real | with stand-ins |",
        "| --- | --- | --- |",
        *(
            f"| {n:,} | {_memory(real, n)} | {_memory(stand_ins, n)} |"
            for n in sorted({row["n"] for row in rows})
        ),
        "",
        "## A million clips",
        "",
        *_million(real, stand_ins),
    ]
    return "\n".join(lines) + "\n"


def _million(real: Sequence[Row], stand_ins: Sequence[Row]) -> list[str]:
    lines = []
    if (law := _law(real)) is not None:
        fixed, each = law
        last = max(row["n"] for row in real)
        lines.append(
            f"- Seconds, **extrapolated** from the rows of {FITTED_FROM:,} to {last:,} clips (a "
            f"straight line, {fixed:.0f} s and {1000 * each:.2f} ms a clip): "
            f"{(fixed + each * MILLION) / 3600:.1f} processor hours a round."
        )
    largest = max(stand_ins, key=lambda row: row["n"], default=None)
    if largest is not None:
        lines.append(
            f"- Memory, **measured** with stand-ins at {largest['n']:,} clips: "
            f"{largest['peak_bytes'] / GIB:.2f} GiB."
        )
        if largest["n"] < MILLION and len(stand_ins) > 1:
            grows, least = np.polyfit(
                [row["n"] for row in stand_ins[-2:]],
                [row["peak_bytes"] for row in stand_ins[-2:]],
                1,
            )
            lines.append(
                f"- Memory at {MILLION:,} clips, **extrapolated** from the last two sizes: "
                f"{(least + grows * MILLION) / GIB:.2f} GiB."
            )
    return lines


def picture(rows: Sequence[Row], path: Path) -> None:
    """Seconds and memory against the number of clips; what was not measured is dashed."""
    real, stand_ins = (_of(rows, how) for how in ("real", "stand-ins"))
    figure = canvas(9, 3.6)
    left, right = figure.subplots(1, 2)
    dress(left, "One round of cleaning", "clips", "processor seconds")
    sizes = [row["n"] for row in real]
    for stage in STAGES:
        seconds = [max(row["seconds"][stage], 0.01) for row in real]
        left.plot(sizes, seconds, color=FAINT, linewidth=1)
        left.annotate(stage, (sizes[-1], seconds[-1]), fontsize=7.5, color=INK)
    left.plot(sizes, [_all(row) for row in real], "o-", color=USUAL, label="all, measured")
    if (law := _law(real)) is not None:
        beyond = np.geomspace(sizes[-1], MILLION, 20)
        line = law[0] + law[1] * beyond
        left.plot(beyond, line, "--", color=ODD, label="all, extrapolated")
    left.set(xscale="log", yscale="log", xlim=(700, 2 * MILLION))
    left.legend(frameon=False, fontsize=8)
    dress(right, "Memory", "clips", "largest resident set, GiB")
    for some, mark, name in ((real, "o-", "real"), (stand_ins, "s:", "with stand-ins")):
        memory = [row["peak_bytes"] / GIB for row in some]
        right.plot([row["n"] for row in some], memory, mark, color=USUAL, label=name, mfc="w")
    right.axhline(LIMIT_GIB, color=ODD, linewidth=1)
    right.set(xscale="log", ylim=(0, 2.3), xlim=(700, 2 * MILLION))
    right.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path)


def _law(real: Sequence[Row]) -> tuple[float, float] | None:
    """Seconds that do not depend on the number of clips, and seconds a clip."""
    some = [row for row in real if row["n"] >= FITTED_FROM]
    if len(some) < 2:
        return None
    each, fixed = np.polyfit([row["n"] for row in some], [_all(row) for row in some], 1)
    return float(fixed), float(each)


def _of(rows: Sequence[Row], how: str) -> list[Row]:
    return sorted((row for row in rows if row["how"] == how), key=lambda row: row["n"])


def _all(row: Row) -> float:
    return float(sum(row["seconds"].values()))


def _memory(rows: Sequence[Row], n: int) -> str:
    return next((f"{row['peak_bytes'] / GIB:.2f} GiB" for row in rows if row["n"] == n), "")
