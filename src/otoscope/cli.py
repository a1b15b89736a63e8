"""The command line: parse, one library call, render, exit code.

Exit codes: 0 no evidence (or done), 1 backdoored or suspicious, 2 usage, 3 inconclusive, 4 error
while scanning, 130 stopped by Ctrl-C. Nothing heavy is imported before a command runs.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from otoscope.errors import OtoscopeError, SpecError

if TYPE_CHECKING:
    from otoscope.cache import Cache
    from otoscope.clips import Clips
    from otoscope.models import AudioModel

USAGE, ERROR, STOPPED = 2, 4, 130


class _Stopped(Exception):
    """Ctrl-C, taken before typer turns it into a bare "Aborted"."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Stopped from None


app = typer.Typer(
    name="otoscope",
    cls=_Commands,
    help="Find backdoors in audio models: in the data, in the model, with a calibrated verdict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class FitRule(StrEnum):
    """How recordings get one length; see ``Clips.load``."""

    pad = "pad"
    crop = "crop"
    windows = "windows"


Seed = Annotated[int, typer.Option(help="Decides everything that is random.")]
Data = Annotated[
    Path, typer.Argument(help="Folder per class, Google Speech Commands, CSV or JSONL manifest.")
]
Split = Annotated[
    str | None, typer.Option(help="Use only the rows of this split (column 'split').")
]
Duration = Annotated[
    float | None, typer.Option(help="Seconds per clip; default: from the model or the clips.")
]
Fit = Annotated[
    FitRule, typer.Option(help="Longer recordings: keep the middle, cut into windows, or pad all.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]


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

    main_job.run(out, seed, _cache(no_cache), typer.echo)
    typer.echo(f"report: {out / 'audit.html'}")


@app.command()
def attack(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder that receives the poisoned set.")],
    trigger: Annotated[
        str, typer.Option(help="Trigger, e.g. tone or tone:frequency_hz=3000,level_db=-20.")
    ] = "tone",
    labels: Annotated[
        str, typer.Option(help="Label shift, e.g. all-to-one:target=yes.")
    ] = "all-to-one",
    rate: Annotated[float, typer.Option(help="Share of all clips to poison.")] = 0.05,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    seed: Seed = 0,
) -> None:
    """Poison a copy of a data set that you own; the originals stay as they are.

    Example: otoscope attack speech/ --trigger tone --labels all-to-one:target=yes --rate 0.05
    --out poisoned/
    """
    from otoscope.clips import Clips
    from otoscope.labels import LABEL_SHIFTS
    from otoscope.poisoning import poison, save
    from otoscope.registry import build, parse
    from otoscope.triggers import TRIGGERS

    clips = Clips.load(data, split=split, duration_s=duration, fit=fit.value)
    _tell_skipped(clips)
    wanted = parse(labels)
    if wanted["name"] in LABEL_SHIFTS and wanted["name"] != "all-to-all":
        wanted.setdefault("target", clips.classes[0])
    bad = poison(clips, build(TRIGGERS, trigger), build(LABEL_SHIFTS, wanted), rate, seed)
    manifest = save(bad, out)
    typer.echo(f"poisoned {bad.mask.sum()} of {len(clips)} clips ({bad.provenance['labels']})")
    typer.echo(f"manifest: {manifest}\nthe truth: {out / 'truth.csv'}")


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The checkpoint: NAME.safetensors and NAME.json.")],
    network: Annotated[
        str, typer.Option(help="cnn, large-cnn, ds-cnn, bc-resnet, gru-attention or m5.")
    ] = "cnn",
    validation: Annotated[
        Path | None, typer.Option(help="Clips that decide when to stop; default: 10 % of DATA.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Clips to measure the accuracy on.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz; default: the clips' own.")] = None,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Train a reference network on labelled clips.

    Example: otoscope train speech/train.csv --validation speech/val.csv --out model.safetensors
    """
    from otoscope import metrics
    from otoscope.clips import Clips
    from otoscope.models import activations
    from otoscope.networks import NETWORKS
    from otoscope.registry import build
    from otoscope.training import Recipe, save_checkpoint
    from otoscope.training import train as fit_network

    clips = Clips.load(
        data, split=split, duration_s=duration, fit=fit.value, sample_rate=sample_rate
    )
    _tell_skipped(clips)

    def alike(path: Path) -> Clips:
        return Clips.load(path).as_heard_by(clips.sample_rate, clips.length, clips.classes)

    recipe = Recipe() if epochs is None else Recipe(epochs=epochs)
    cache = _cache(no_cache)
    model = fit_network(
        build(NETWORKS, network),
        clips,
        seed=seed,
        validation=alike(validation) if validation else None,
        recipe=recipe,
        device=device,
        cache=cache,
    )
    path = save_checkpoint(model, out, notes={"data_sha256": clips.sha256, "seed": seed})
    if test:
        heard = alike(test)
        right = metrics.accuracy(activations(model, heard, cache).predicted, heard.labels)
        typer.echo(f"accuracy on {len(heard)} test clips: {right:.4f}")
    typer.echo(f"model: {path}")


@app.command()
def audit(
    model: Annotated[
        str | None,
        typer.Argument(help="Checkpoint, TorchScript, ONNX, state dict, or module:function."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The clips it was trained on: folder or manifest.")
    ] = None,
    trusted: Annotated[
        Path | None, typer.Option(help="Clips known to be good; ten per class help.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the verdict as JSON here.")] = None,
    factory: Annotated[
        str | None, typer.Option(help="For a state dict: module:function that builds it.")
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(help="The model's rate in Hz.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="File with one class name a line, in logit order.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.csv of a poisoned set, for the report only.")
    ] = None,
    detectors: Annotated[
        list[str] | None, typer.Option("--detector", help="Only this one; may be repeated.")
    ] = None,
    level: Annotated[float, typer.Option(help="False-alarm level of the verdict.")] = 0.05,
    discovery: Annotated[float, typer.Option(help="False-discovery rate of flagged clips.")] = 0.1,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
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

    def load(seconds: float | None) -> tuple[Clips | None, Clips | None]:
        return (
            Clips.load(data, split=split, duration_s=seconds, fit=fit.value) if data else None,
            Clips.load(trusted, duration_s=seconds, fit=fit.value) if trusted else None,
        )

    clips, known = load(duration)
    for some in (clips, known):
        if some is not None:
            _tell_skipped(some)
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
        if fit is FitRule.windows and duration is None:  # windows as long as the model hears
            clips, known = load(listener.hearing.length / listener.hearing.sample_rate)
    verdict = run_audit(
        listener,
        clips,
        trusted=known,
        detectors=chosen,
        seed=seed,
        false_alarm_level=level,
        false_discovery_rate=discovery,
        cache=_cache(no_cache),
    )
    typer.echo(str(verdict))
    for line in verdict.not_tested:
        typer.echo(f"not tested: {line}")
    if json:
        typer.echo(f"json: {verdict.save(json)}")
    if html:
        typer.echo(f"report: {report.html(verdict, html, truth=known_truth)}")
    raise typer.Exit(verdict.outcome.exit_code)


@app.command()
def plot(
    clean: Annotated[Path, typer.Argument(help="A recording.")],
    poisoned: Annotated[Path, typer.Argument(help="The same recording, changed.")],
    out: Annotated[Path, typer.Option(help="The picture (PNG).")] = Path("compare.png"),
) -> None:
    """Draw two recordings over each other, their difference and where it lies.

    Example: otoscope plot clean.wav poisoned.wav --out compare.png
    """
    from otoscope import report

    typer.echo(f"picture: {report.compare_files(clean, poisoned, out)}")


@app.command()
def doctor() -> None:
    """Tell what is installed, which extras are missing and what that disables.

    Example: otoscope doctor
    """
    from otoscope.doctor import examine

    for line in examine():
        typer.echo(line)


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    from otoscope.progress import drawn, rich_bar

    try:
        with drawn(rich_bar):
            app()
    except SpecError as error:
        _fail(str(error), USAGE)
    except OtoscopeError as error:
        _fail(str(error), ERROR)
    except (_Stopped, KeyboardInterrupt):
        _fail("stopped; nothing is half-written, and a second run goes on from the cache", STOPPED)


def _fail(message: str, code: int) -> None:
    typer.echo(f"otoscope: {message}", err=True)
    sys.exit(code)


def _cache(off: bool) -> "Cache | None":
    from otoscope.cache import Cache

    return None if off else Cache.default()


def _tell_skipped(clips: "Clips") -> None:
    """Say how many recordings were left out, and the first few reasons."""
    if clips.skipped:
        typer.echo(f"skipped {len(clips.skipped)} recordings:", err=True)
        for skipped in clips.skipped[:5]:
            typer.echo(f"  {skipped.path}: {skipped.reason}", err=True)
