"""otoscope audit: a verdict on a model, its data, or both."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otoscope.cli.app import (
    ClassNames,
    Device,
    Duration,
    Factory,
    Fit,
    FitRule,
    NoCache,
    SampleRate,
    Seed,
    Split,
    app,
    check_device,
    open_cache,
    plain,
    tell_skipped,
    window_s,
)
from otoscope.cli.outputs import check_outputs

if TYPE_CHECKING:
    from otoscope.models import AudioModel


@app.command()
def audit(
    model: Annotated[
        str | None,
        typer.Argument(help="Checkpoint, TorchScript, ONNX, state dict, or module:function."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="The clips it was trained on: folder or manifest."),
    ] = None,
    trusted: Annotated[
        Path | None, typer.Option(exists=True, help="Clips known to be good; ten per class help.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the verdict as JSON here.")] = None,
    factory: Factory = None,
    sample_rate: SampleRate = None,
    classes: ClassNames = None,
    truth: Annotated[
        Path | None,
        typer.Option(exists=True, help="truth.csv of a poisoned set, for the report only."),
    ] = None,
    detectors: Annotated[
        list[str] | None,
        typer.Option("--detector", help="Only this one (docs/detectors); may be repeated."),
    ] = None,
    references: Annotated[
        int,
        typer.Option(
            help="Clean models to train on the trusted clips to compare with: 8 to 32, 4 at least."
        ),
    ] = 0,
    level: Annotated[float, typer.Option(help="False-alarm level of the verdict.")] = 0.05,
    discovery: Annotated[float, typer.Option(help="False-discovery rate of flagged clips.")] = 0.1,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Audit a model, its training data, or both; the exit code is the policy.

    Example: otoscope audit model.safetensors --data train.csv --trusted clean.csv
    --html audit.html --json audit.json
    """
    from otoscope import report
    from otoscope.auditing import audit as run_audit
    from otoscope.clips import Clips
    from otoscope.detect import DETECTORS
    from otoscope.registry import build

    if model is None and data is None:
        raise typer.BadParameter("give a MODEL, --data, or both")
    check_outputs({"--json": json, "--html": html}, [model, data, trusted, classes, truth])
    check_device(device)

    def load(seconds: float | None) -> tuple[Clips | None, Clips | None]:
        return (
            Clips.load(data, split=split, duration_s=seconds, fit=fit.value) if data else None,
            Clips.load(trusted, duration_s=seconds, fit=fit.value) if trusted else None,
        )

    clips, known = load(duration)
    tell_skipped(clips, known)
    chosen = [build(DETECTORS, name) for name in detectors] if detectors else None
    known_truth = report.read_truth(truth) if truth else None
    listener: AudioModel | None = None
    if model is not None:
        from otoscope.intake import load_model

        listener = load_model(
            model,
            factory=factory,
            sample_rate=sample_rate,
            classes=classes,
            duration_s=duration,
            clips=clips,
            trusted=known,
            device=device,
        )
        if seconds := window_s(fit, duration, listener):
            clips, known = load(seconds)
    verdict = run_audit(
        listener,
        clips,
        trusted=known,
        detectors=chosen,
        seed=seed,
        false_alarm_level=level,
        false_discovery_rate=discovery,
        references=references,
        cache=open_cache(no_cache),
    )
    typer.echo(plain(str(verdict)))
    for line in verdict.not_tested:
        typer.echo(plain(f"not tested: {line}"))
    if json:
        typer.echo(f"json: {verdict.save(json)}")
    if html:
        typer.echo(f"report: {report.html(verdict, html, truth=known_truth)}")
    raise typer.Exit(verdict.outcome.exit_code)
