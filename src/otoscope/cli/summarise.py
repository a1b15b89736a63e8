"""otoscope summarise: an audit in plain words."""

import json
from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import app
from otoscope.cli.asking import Llm, LlmLimits, client_of, cost_line


@app.command()
def summarise(
    verdict: Annotated[Path, typer.Argument(exists=True, help="What otoscope audit --json wrote.")],
    llm: Llm = None,
    llm_limits: LlmLimits = "",
    allow_paths: Annotated[
        bool, typer.Option("--allow-paths", help="The model may be told names of files.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be sent to the model.")
    ] = False,
) -> None:
    """Say in plain words what an audit found; with --llm, in a language model's words.

    Without --llm nothing leaves this machine. A model's text is used only when every number in it
    is in the verdict.

    Example: otoscope summarise audit.json --llm local
    """
    from otoscope.report.summary import prompt, read_verdict
    from otoscope.report.summary import summarise as written

    found = read_verdict(verdict)
    client = client_of(llm, llm_limits) if llm else None
    if dry_run:
        sent = client.payload(prompt(found, allow_paths)) if client else None
        typer.echo(json.dumps(sent, indent=2) if sent else "nothing is sent")
        return
    made = written(found, client, paths=allow_paths)
    typer.echo(made.text)
    if made.problem:
        typer.echo(f"the language model's text was not used: {made.problem}", err=True)
    if client and client.spent.queries:
        typer.echo(f"\nwritten by {made.author}; {cost_line(client)}", err=True)
