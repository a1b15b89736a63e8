"""otoscope gallery: every attack to hear and to see."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import NoCache, Seed, app, open_cache


@app.command()
def gallery(
    out: Annotated[Path, typer.Option(help="The page (HTML).")] = Path("gallery.html"),
    sounds_only: Annotated[
        bool, typer.Option("--sounds-only", help="Train nothing: no success rates.")
    ] = False,
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Write a page with every published attack: its sound, its pictures, its risks.

    Example: otoscope gallery --out gallery.html
    """
    from otoscope import datasets
    from otoscope.gallery import gallery as write

    cache = open_cache(no_cache)
    splits = datasets.demo(seed=seed, cache=cache)
    page = write(out, splits, train=not sounds_only, seed=seed, cache=cache)
    typer.echo(f"gallery: {page}")
