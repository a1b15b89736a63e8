"""otoscope clean: a training list without the clips that look poisoned."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otoscope.cli.app import (
    ClassNames,
    Data,
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
    tell_skipped,
    window_s,
)
from otoscope.cli.outputs import check_outputs, json_text

if TYPE_CHECKING:
    from otoscope.cleaning import Cleaned
    from otoscope.clips import Clip, Clips
    from otoscope.models import AudioModel


@app.command()
def clean(
    data: Data,
    out: Annotated[Path, typer.Option(help="The cleaned manifest (CSV).")],
    model: Annotated[
        str | None, typer.Option(help="What was trained on DATA; default: a probe is trained.")
    ] = None,
    trusted: Annotated[
        Path | None, typer.Option(exists=True, help="Clips known to be good; ten per class help.")
    ] = None,
    left_out: Annotated[
        Path | None, typer.Option(help="Folder for the flagged clips' list and common sounds.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the findings as JSON here.")] = None,
    discovery: Annotated[float, typer.Option(help="False-discovery rate of flagged clips.")] = 0.05,
    rounds: Annotated[int, typer.Option(help="At most so often: flag, train anew, look.")] = 3,
    factory: Factory = None,
    sample_rate: SampleRate = None,
    classes: ClassNames = None,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Write a training list without the clips that look poisoned; DATA itself stays as it is.

    Exit code 0: nothing flagged; 1: clips were left out.
    Example: otoscope clean train.csv --trusted good/ --out clean.csv --left-out suspects/
    """
    from otoscope import cleaning
    from otoscope.cache import write_atomically
    from otoscope.clips import Clips
    from otoscope.intake import load_model

    if not model and (factory or sample_rate or classes or device != "cpu"):
        raise typer.BadParameter(
            "--factory, --sample-rate, --classes and --device are about --model; give one"
        )
    files, read = {"--out": out, "--json": json}, [data, trusted, model, classes]
    check_outputs(files, read, folders={"--left-out": left_out})
    check_device(device)

    def load(seconds: float | None) -> tuple[Clips, Clips | None]:
        return (
            Clips.load(data, split=split, duration_s=seconds, fit=fit.value),
            Clips.load(trusted, duration_s=seconds, fit=fit.value) if trusted else None,
        )

    clips, known = load(duration)
    tell_skipped(clips, known)
    listener: AudioModel | None = None
    if model:
        listener = load_model(
            model,
            factory=factory,
            sample_rate=sample_rate,
            classes=classes,
            clips=clips,
            trusted=known,
            device=device,
        )
        if seconds := window_s(fit, duration, listener):
            clips, known = load(seconds)
    found = cleaning.clean(
        clips,
        model=listener,
        trusted=known,
        false_discovery_rate=discovery,
        rounds=rounds,
        seed=seed,
        cache=open_cache(no_cache),
    )
    typer.echo(str(found))
    for source in found.sources:
        like = ", ".join(f"{name} {count}" for name, count in source.sounds_like.items())
        typer.echo(f'labelled "{source.target}", sounds like: {like}')
    _write_list(found, out)
    typer.echo(f"cleaned: {out}")
    if left_out and found.flagged.any():
        _write_left_out(found, left_out)
        typer.echo(f"left out: {left_out}")
    if json:
        write_atomically(json, json_text(_figures(found)))
        typer.echo(f"json: {json}")
    raise typer.Exit(1 if found.flagged.any() else 0)


def _write_list(found: "Cleaned", out: Path) -> None:
    """The kept clips, their paths from the folder of the new list."""
    from otoscope.manifests import Row, write_csv

    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(
        out,
        [
            Row(
                _path_from(out.parent, found.clips, clip),
                clip.label,
                clip.speaker,
                clip.split,
                clip.start_s,
                clip.duration_s,
            )
            for clip in found.kept
        ],
    )


def _path_from(folder: Path, clips: "Clips", clip: "Clip") -> str:
    """A clip's path as a list in the folder names it."""
    return Path(os.path.relpath(clips.root.resolve() / clip.path, folder.resolve())).as_posix()


def _write_left_out(found: "Cleaned", folder: Path) -> None:
    """``flagged.csv``, most suspicious first; each class's common sound, and its picture."""
    import numpy as np

    from otoscope import audio
    from otoscope.cache import write_atomically
    from otoscope.manifests import csv_text
    from otoscope.report import figures
    from otoscope.report.canvas import png

    folder.mkdir(parents=True, exist_ok=True)
    header, rows = ["path", "label", "sounds_like", "p_value"], []
    parts = any(clip.start_s or clip.duration_s for clip in found.clips.items)
    if parts:
        header += ["offset", "duration"]
    for index in np.flatnonzero(found.flagged)[np.argsort(found.p_values[found.flagged])].tolist():
        clip, like = found.clips[index], found.clips.classes[found.sounds_like[index]]
        path = _path_from(folder, found.clips, clip)
        part = [clip.start_s, clip.duration_s] if parts else []
        rows.append([path, clip.label, like, f"{found.p_values[index]:.3g}", *part])
    write_atomically(folder / "flagged.csv", csv_text([header, *rows]))
    for number, (name, sound) in enumerate(found.common.items()):
        sent = found.obeyed.get(name)
        told = "" if sent is None else f"; sends {sent:.0%} of other clips there"
        typer.echo(f'common to "{name}": {sound.kind}, {sound.share:.1%} of the energy{told}')
        target = "trigger" if number == 0 else f"trigger-{number + 1}"
        audio.write(folder / f"{target}.wav", sound.samples, sound.sample_rate)
        title = f'what {sound.clips} clips labelled "{name}" share ({sound.kind})'
        drawn = figures.sound(sound.samples, sound.sample_rate, title)
        write_atomically(folder / f"{target}.png", png(drawn))


def _figures(found: "Cleaned") -> dict[str, Any]:
    flagged = [(found.clips[i], found.p_values[i]) for i in found.flagged.nonzero()[0].tolist()]
    return {
        "clips": len(found.clips),
        "flagged": [
            {"path": clip.path, "label": clip.label, "start_s": clip.start_s, "p_value": float(p)}
            for clip, p in flagged
        ],
        "poison_rate": found.poison_rate,
        "poison_rate_interval": found.poison_rate_interval,
        "false_discovery_rate": found.false_discovery_rate,
        "rounds": found.rounds,
        "sources": [asdict(source) for source in found.sources],
        "common": {
            name: {"kind": sound.kind, "share": sound.share, "obeyed": found.obeyed.get(name)}
            for name, sound in found.common.items()
        },
        "skipped": [asdict(one) for one in found.clips.skipped],
        "data_sha256": found.clips.sha256,
    }
