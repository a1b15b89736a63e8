"""Measured rows, one JSON object a line: append, read back, skip what is there, share the work."""

import argparse
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from otoscope.cache import Cache
from otoscope.metrics import wilson_interval

Job = dict[str, Any]
Row = dict[str, Any]
HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
PRIORS = HERE.parent / "src" / "otoscope" / "priors.json"
"""What is known of clean models and clean training sets; part of the package."""


def read(path: Path) -> list[Row]:
    """The rows measured so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def fill(
    path: Path,
    jobs: Iterable[Job],
    run: Callable[[Job], Row],
    part: str,
    summary: Callable[[Row], str],
) -> None:
    """Run the jobs that have no row yet; ``part`` "i/n" takes every n-th, for n processes.

    A row is its job's fields and what ``run`` adds.
    """
    index, parts = map(int, part.split("/"))
    known = read(path)
    mine = list(jobs)[index::parts]
    todo = [job for job in mine if not any(job.items() <= row.items() for row in known)]
    path.parent.mkdir(exist_ok=True)
    for number, job in enumerate(todo, 1):
        row = job | run(job) | {"commit": commit()}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{number}/{len(todo)} {summary(row)}", flush=True)


def complete(
    description: str | None,
    path: Path,
    jobs: Callable[[], Iterable[Job]],
    run: Callable[[Job, Path, Cache], Row],
    summary: Callable[[Row], str],
    page: Path,
    render: Callable[[], str],
) -> None:
    """A table's command: run the rows that are missing, then rebuild the page."""
    chosen = options(description)
    if not chosen.table:
        cache = Cache.default()
        fill(path, jobs(), lambda job: run(job, chosen.data, cache), chosen.part, summary)
    page.write_text(render())
    print(page)


def below(page: Path, mark: str, tables: str) -> str:
    """A page whose words stand above ``mark``, with its tables below."""
    words, _, _ = page.read_text().partition(mark)
    return words + mark + tables


def commit() -> str:
    """The commit that made the row, with a plus when the tree differed from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
    )
    return described.stdout.strip()


def table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with a line break at its end."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def share(hits: int, count: int) -> str:
    """A share with its interval."""
    if not count:
        return "–"
    low, high = wilson_interval(hits, count)
    return f"{hits}/{count} [{low:.2f}, {high:.2f}]"


def options(description: str | None) -> argparse.Namespace:
    """What every table's command takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table", action="store_true", help="only rebuild the page")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th row, for n processes")
    return parser.parse_args()
