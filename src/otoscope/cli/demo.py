"""otoscope demo: the main job on synthesised speech."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import NoCache, Seed, app, open_cache


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and the models.")] = Path(
        "demo-out"
    ),
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Poison synthesised speech, train on it, audit, report and repair.

    Example: otoscope demo --out demo-out
    """
    from otoscope import demo as main_job

    main_job.run(out, seed, open_cache(no_cache), typer.echo)
    typer.echo(f"report: {out / 'audit.html'}")
    typer.echo(f"models, training and trusted clips to try other commands on: {out}")
