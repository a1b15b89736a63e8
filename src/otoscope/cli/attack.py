"""otoscope attack: poison a copy of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from otoscope.cli.app import Data, Duration, Fit, FitRule, Seed, Split, app, tell_skipped


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
    tell_skipped(clips)
    wanted = parse(labels)
    if wanted["name"] in LABEL_SHIFTS and wanted["name"] != "all-to-all":
        wanted.setdefault("target", clips.classes[0])
    bad = poison(clips, build(TRIGGERS, trigger), build(LABEL_SHIFTS, wanted), rate, seed)
    manifest = save(bad, out)
    typer.echo(f"poisoned {bad.mask.sum()} of {len(clips)} clips ({bad.provenance['labels']})")
    typer.echo(f"manifest: {manifest}\nthe truth: {out / 'truth.csv'}")
