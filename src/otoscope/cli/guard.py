"""otoscope guard: judge what a model in use hears."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otoscope.cli.app import (
    ERROR,
    ClassNames,
    Device,
    Duration,
    Factory,
    Fit,
    FitRule,
    NoCache,
    SampleRate,
    Seed,
    app,
    check_device,
    open_cache,
    plain,
    tell_left_out,
    tell_skipped,
    window_s,
)
from otoscope.cli.outputs import check_outputs, json_text

if TYPE_CHECKING:
    from otoscope.guarding import Guard
    from otoscope.manifests import Skipped


@app.command()
def guard(
    model: Annotated[str, typer.Argument(help="The model in use; see otoscope audit.")],
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, help="Recordings to judge, or folders; none: serve."),
    ] = None,
    *,
    trusted: Annotated[
        Path, typer.Option(exists=True, help="Clips known to be good, of every class.")
    ],
    level: Annotated[float, typer.Option(help="Share of clean clips that may alarm.")] = 0.05,
    json: Annotated[
        Path | None, typer.Option(help="Write what was judged as JSON lines here.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve at.", min=0, max=65535)] = 8000,
    factory: Factory = None,
    sample_rate: SampleRate = None,
    classes: ClassNames = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Judge live clips: does what the model calls them come from their content, or from a trigger?

    Without recordings, a service: POST a recording to /judge. With some, exit code 0: no alarm;
    1: some window of some recording alarms; 4: none does, but some recording could not be read.

    Example: otoscope guard model.safetensors heard/ --trusted good/ --json heard.jsonl
    """
    from otoscope.cache import write_atomically
    from otoscope.clips import Clips
    from otoscope.guarding import guard as guarded
    from otoscope.intake import load_model
    from otoscope.manifests import audio_files
    from otoscope.serving import application, require_port, require_service, serve

    if not recordings and json:
        raise typer.BadParameter("--json keeps what is thought of recordings; name some")
    if not recordings:
        require_service()
        require_port(host, port)
    heard = [
        file for one in recordings or [] for file in (audio_files(one) if one.is_dir() else [one])
    ]
    if recordings and not heard:
        raise typer.BadParameter(f"no recordings below {', '.join(map(str, recordings))}")
    check_outputs({"--json": json}, [model, trusted, classes, *heard])
    check_device(device)
    load = partial(Clips.load, trusted, fit=fit.value)
    known = load(duration_s=duration)
    tell_skipped(known)
    listener = load_model(
        model,
        factory=factory,
        sample_rate=sample_rate,
        classes=classes,
        trusted=known,
        device=device,
    )
    if seconds := window_s(fit, duration, listener):
        known = load(duration_s=seconds)
    watching = guarded(listener, known, level=level, seed=seed, cache=open_cache(no_cache))
    if not watching.sees_inside:
        typer.echo("the model shows no inside: judged by what small networks hear only", err=True)
    if not recordings:
        serve(application(watching), host, port)
        return
    windows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    try:
        for file in heard:
            _judge(watching, file, windows, skipped)
    finally:  # a stop loses nothing
        if json:
            write_atomically(json, "".join(json_text(one, lines=False) for one in windows))
            typer.echo(f"json: {json}")
    tell_left_out(skipped)
    alarms, usual = sum(one["alarm"] for one in windows), level * len(windows)
    typer.echo(f"{alarms} of {len(windows)} windows alarm; of clean ones, about {usual:.1f} would")
    raise typer.Exit(1 if alarms else ERROR if skipped else 0)


def _judge(
    watching: "Guard", file: Path, windows: "list[dict[str, Any]]", skipped: "list[Skipped]"
) -> None:
    """Add what is thought of every window of a recording, said at once, or why it is left out."""
    from otoscope import audio
    from otoscope.errors import AudioError
    from otoscope.manifests import Skipped

    try:
        judged = watching.judge(*audio.read(file))
    except AudioError as error:
        skipped.append(Skipped(str(file), str(error)))
        return
    for one in watching.told(judged):
        windows.append({"path": str(file)} | one)
        typer.echo(
            f"{'ALARM' if one['alarm'] else 'ok   '} {plain(str(file))} from {one['start_s']:g} s: "
            f'called "{plain(one["label"])}", sounds like "{plain(one["sounds_like"])}", '
            f"p {one['p_value']:.3f}"
        )
