"""otoscope guard: judge what a model in use hears."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import (
    Duration,
    Fit,
    FitRule,
    NoCache,
    Seed,
    app,
    open_cache,
    tell_skipped,
)


@app.command()
def guard(
    model: Annotated[str, typer.Argument(help="The model in use; see otoscope audit.")],
    recordings: Annotated[
        list[Path] | None, typer.Argument(help="Recordings to judge; none: serve.")
    ] = None,
    *,
    trusted: Annotated[Path, typer.Option(help="Clips known to be good, of every class.")],
    level: Annotated[float, typer.Option(help="Share of clean clips that may alarm.")] = 0.05,
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve at.", min=0, max=65535)] = 8000,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Judge live clips: does what the model calls them come from their content, or from a trigger?

    Without recordings, a service: POST a recording to /judge. With some, exit code 0: no alarm;
    1: some window of some recording alarms.

    Example: otoscope guard model.safetensors heard/today.wav --trusted good/
    """
    from otoscope import audio
    from otoscope.clips import Clips
    from otoscope.errors import UnreadableAudio
    from otoscope.guarding import guard as guarded
    from otoscope.intake import load_model
    from otoscope.serving import application, serve

    known = Clips.load(trusted, duration_s=duration, fit=fit.value)
    tell_skipped(known)
    listener = load_model(model, trusted=known)
    watching = guarded(listener, known, level=level, seed=seed, cache=open_cache(no_cache))
    if not watching.sees_inside:
        typer.echo("the model shows no inside: judged by what small networks hear only", err=True)
    if not recordings:
        serve(application(watching), host, port)
        return
    alarms, step_s = 0, listener.hearing.duration_s
    for file in recordings:
        try:
            samples, rate = audio.read(file)
        except UnreadableAudio as error:
            raise UnreadableAudio(f"{file}: {error}") from None
        for number, one in enumerate(watching.judge(samples, rate)):
            alarms += one.alarm
            typer.echo(
                f"{'ALARM' if one.alarm else 'ok   '} {file} from {number * step_s:g} s: called "
                f'"{one.label}", sounds like "{one.sounds_like}", p {one.p_value:.3f}'
            )
    raise typer.Exit(1 if alarms else 0)
