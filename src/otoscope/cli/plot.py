"""otoscope plot: two recordings over each other."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import app
from otoscope.cli.outputs import check_outputs


@app.command()
def plot(
    clean: Annotated[Path, typer.Argument(exists=True, help="A recording.")],
    poisoned: Annotated[Path, typer.Argument(exists=True, help="The same recording, changed.")],
    out: Annotated[Path, typer.Option(help="The picture (PNG).")] = Path("compare.png"),
) -> None:
    """Draw two recordings over each other, their difference and where it lies.

    Example: otoscope plot clean.wav poisoned.wav --out compare.png
    """
    from otoscope import report

    check_outputs({"--out": out}, [clean, poisoned])
    typer.echo(f"picture: {report.compare_files(clean, poisoned, out)}")
