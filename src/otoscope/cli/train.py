"""otoscope train: a reference network on labelled clips."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import (
    Data,
    Device,
    Duration,
    Fit,
    FitRule,
    NoCache,
    Seed,
    Split,
    app,
    check_device,
    open_cache,
    tell_skipped,
)
from otoscope.cli.outputs import check_outputs


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The checkpoint: NAME.safetensors and NAME.json.")],
    network: Annotated[
        str, typer.Option(help="cnn, large-cnn, ds-cnn, bc-resnet, gru-attention or m5.")
    ] = "cnn",
    validation: Annotated[
        Path | None,
        typer.Option(exists=True, help="Clips that decide when to stop; default: 10 % of DATA."),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(exists=True, help="Clips to measure the accuracy on.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    sample_rate: Annotated[int | None, typer.Option(help="Hz; default: the clips' own.")] = None,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Train a reference network on labelled clips.

    Example: otoscope train speech/train.csv --validation speech/val.csv --out model.safetensors
    """
    from otoscope import metrics
    from otoscope.checkpoints import files_of, save_checkpoint
    from otoscope.clips import Clips
    from otoscope.models import activations
    from otoscope.networks import NETWORKS
    from otoscope.registry import build
    from otoscope.training import Recipe
    from otoscope.training import train as fit_network

    for path in files_of(out):
        check_outputs({"--out": path}, [data, validation, test])
    check_device(device)
    clips = Clips.load(
        data, split=split, duration_s=duration, fit=fit.value, sample_rate=sample_rate
    )

    def alike(path: Path | None) -> Clips | None:
        if path is None:
            return None
        return Clips.load(path).as_heard_by(clips.sample_rate, clips.length, clips.classes)

    judges, heard = alike(validation), alike(test)
    tell_skipped(clips, judges, heard)

    recipe = Recipe() if epochs is None else Recipe(epochs=epochs)
    cache = open_cache(no_cache)
    model = fit_network(
        build(NETWORKS, network),
        clips,
        seed=seed,
        validation=judges,
        recipe=recipe,
        device=device,
        cache=cache,
    )
    path = save_checkpoint(model, out, notes={"data_sha256": clips.sha256, "seed": seed})
    if heard is not None:
        right = metrics.accuracy(activations(model, heard, cache).predicted, heard.labels)
        typer.echo(f"accuracy on {len(heard)} test clips: {right:.4f}")
    typer.echo(f"model: {path}")
