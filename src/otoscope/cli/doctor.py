"""otoscope doctor: what is installed."""

import typer

from otoscope.cli.app import app


@app.command()
def doctor() -> None:
    """Tell what is installed, which extras are missing and what that disables.

    Example: otoscope doctor
    """
    from otoscope.doctor import examine

    for line in examine():
        typer.echo(line)
