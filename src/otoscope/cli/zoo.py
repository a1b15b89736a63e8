"""otoscope zoo: clean and backdoored models with ground truth."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import NoCache, app, open_cache


class Half(StrEnum):
    """The halves of a zoo."""

    design = "design"
    sequestered = "sequestered"


@app.command()
def zoo(
    out: Annotated[Path, typer.Argument(help="Folder that receives the model files.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Data set, e.g. arabic-speakers:root=FOLDER; repeat for several. Default: demo."
        ),
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="Network, e.g. ds-cnn; repeat. Default: cnn.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often every attack appears.", min=1)] = 3,
    after: Annotated[
        int, typer.Option(help="Pass over so many rounds: fresh seeds, for a zoo anew.", min=0)
    ] = 0,
    split: Annotated[Half | None, typer.Option(help="Train the models of this half only.")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Train clean models only.")] = False,
    rows: Annotated[
        Path | None, typer.Option(help="One JSON line a model. Default: OUT/zoo.jsonl.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Train at most so many models now.", min=0)
    ] = None,
    part: Annotated[str, typer.Option(help="i/n: every n-th model, for n processes.")] = "0/1",
    no_cache: NoCache = False,
) -> None:
    """Build clean and backdoored models with ground truth; a second run goes on.

    Example: otoscope zoo zoo/ --data arabic-speech-commands:root=data/arabic --limit 10
    """
    from otoscope.datasets import DATASETS
    from otoscope.networks import NETWORKS
    from otoscope.registry import build
    from otoscope.zoo import grow, plan

    for text in network or ():
        build(NETWORKS, text)  # a wrong name is told before the data are read
    cache = open_cache(no_cache)
    sets = [build(DATASETS, text) for text in data or ["demo"]]
    splits = {one.name: one.load(cache) for one in sets}
    members = plan(list(splits), network or ["cnn"], rounds, after=after)
    members = [m for m in members if split in (None, m.split) and not (clean and m.attack)]
    listed = rows or out / "zoo.jsonl"
    for row in grow(members, splits, out, listed, limit=limit, part=part, cache=cache):
        success = row["attack_success"]
        told = "clean" if success is None else f"{row['attack']}, success {success:.2f}"
        typer.echo(f"{row['file']}: {told}, accuracy {row['accuracy']:.3f}")
    typer.echo(f"rows: {listed}")
