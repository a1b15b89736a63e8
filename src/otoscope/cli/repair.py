"""otoscope repair: a new model without the backdoor, and the proof."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    app,
    check_device,
    open_cache,
    tell_skipped,
    window_s,
)
from otoscope.cli.outputs import check_outputs, json_text
from otoscope.cli.shifts import shift_of

if TYPE_CHECKING:
    from otoscope.clips import Clips
    from otoscope.models import AudioModel


@app.command()
def repair(
    model: Annotated[str, typer.Argument(help="The model file; see otoscope audit.")],
    trusted: Annotated[
        Path, typer.Option(exists=True, help="Clips of every class known to be good.")
    ],
    out: Annotated[Path, typer.Option(help="The new model, and NAME.json beside it.")],
    test: Annotated[
        Path | None, typer.Option(exists=True, help="Clips to prove it on, others than --trusted.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="A trigger to prove it with, e.g. tone:level_db=-20.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="What that trigger is to do, e.g. all-to-one:target=yes.")
    ] = "all-to-one",
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
    factory: Factory = None,
    sample_rate: SampleRate = None,
    classes: ClassNames = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Fine-tune a model on trusted clips until its backdoor is gone; the file stays as it is.

    Where the training clips are at hand, leave out the poison instead (otoscope clean, then
    otoscope train).
    Example: otoscope repair model.safetensors --trusted good/ --out repaired.safetensors
    --test test/ --trigger tone --labels all-to-one:target=yes
    """
    from otoscope.cache import write_atomically
    from otoscope.checkpoints import files_of, save_model
    from otoscope.clips import Clips
    from otoscope.intake import check_hearing, load_model
    from otoscope.repairs import repair as mend

    for option, given in (("--trigger", trigger), ("--json", json)):
        if given and not test:
            raise typer.BadParameter(f"{option} is about clips of --test; give some")
    check_device(device)

    def load(seconds: float | None) -> tuple[Clips, Clips | None]:
        return (
            Clips.load(trusted, duration_s=seconds, fit=fit.value),
            Clips.load(test, duration_s=seconds, fit=fit.value) if test else None,
        )

    known, judges = load(duration)
    tell_skipped(known, judges)
    listener = load_model(
        model,
        factory=factory,
        sample_rate=sample_rate,
        classes=classes,
        clips=known,
        device=device,
    )
    if seconds := window_s(fit, duration, listener):
        known, judges = load(seconds)
    weights, card = files_of(out, listener)
    outputs = {"--out": weights, "what describes --out": card, "--json": json}
    check_outputs(outputs, [model, trusted, test, classes])
    check_hearing(listener, known)
    mended = mend(listener, known, seed=seed, cache=open_cache(no_cache))
    notes = {"repaired_from": listener.sha256, "trusted_sha256": known.sha256, "seed": seed}
    typer.echo(f"repaired: {save_model(mended, out, notes=notes)}")
    if judges is None:
        typer.echo("not proved: give --test, clips that are not among the trusted ones")
        return
    form = listener.hearing
    heard = judges.as_heard_by(form.sample_rate, form.length, form.classes)
    figures = _proved({"before": listener, "after": mended}, heard, trigger, labels, seed)
    if json:
        write_atomically(json, json_text(figures))
        typer.echo(f"json: {json}")


def _proved(
    models: "dict[str, AudioModel]", clips: "Clips", trigger: str | None, labels: str, seed: int
) -> dict[str, Any]:
    """Say what the models do on the same clips: the three risks, or the first of them."""
    from otoscope.crafting import craft
    from otoscope.metrics import accuracy
    from otoscope.models import activations
    from otoscope.registry import build
    from otoscope.risk import risks
    from otoscope.triggers import TRIGGERS

    if trigger is None:
        right = {
            name: accuracy(activations(model, clips).predicted, clips.labels)
            for name, model in models.items()
        }
        for name, share in right.items():
            typer.echo(f"{name}: {share:.1%} right on {len(clips)} clean clips")
        return {name: {"benign_accuracy": share} for name, share in right.items()}
    shift = shift_of(labels, clips.classes)
    ready = craft(build(TRIGGERS, trigger), clips, shift, surrogate=models["before"], seed=seed)
    found = {name: risks(model, clips, ready, shift, seed) for name, model in models.items()}
    for name, measured in found.items():
        typer.echo(f"{name}: {measured}")
    return {name: asdict(measured) for name, measured in found.items()}
