"""otoscope attack: poison a copy of a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from otoscope.cli.app import (
    Data,
    Duration,
    Fit,
    FitRule,
    NoCache,
    Seed,
    Split,
    app,
    open_cache,
    tell_skipped,
)
from otoscope.cli.outputs import check_outputs
from otoscope.cli.shifts import shift_of
from otoscope.errors import SpecError

T = TypeVar("T")


@app.command()
def attack(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder that receives the poisoned set.")],
    trigger: Annotated[
        list[str] | None,
        typer.Option(help="Trigger, e.g. tone:level_db=-20; repeat for several attacks at once."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Label shift, e.g. all-to-one:target=yes; one, or one per trigger."),
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Share of all clips to poison, default 0.05; one, or one per trigger."),
    ] = None,
    cover_rate: Annotated[
        float, typer.Option(help="Share that carries the trigger under its true label, to hide.")
    ] = 0.0,
    hardest: Annotated[
        bool, typer.Option("--hardest", help="Poison the clips that a proxy finds hardest.")
    ] = False,
    network: Annotated[
        str,
        typer.Option(
            help="Of the proxy that tells which clips are hard, or that a trigger is made against."
        ),
    ] = "cnn",
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    seed: Seed = 0,
    no_cache: NoCache = False,
) -> None:
    """Poison a copy of a data set that you own; the originals stay as they are.

    Example: otoscope attack speech/ --trigger tone --labels all-to-one:target=yes --rate 0.05
    --out poisoned/
    """
    from otoscope.clips import Clips
    from otoscope.crafting import craft
    from otoscope.networks import NETWORKS
    from otoscope.poisoning import Attack, poison_all, save
    from otoscope.registry import build, text
    from otoscope.selection import hardness
    from otoscope.training import train
    from otoscope.triggers import TRIGGERS

    check_outputs({}, folders={"--out": out})
    if data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise typer.BadParameter(f"--out lies in {data}, which stays as it is; name another folder")
    clips = Clips.load(data, split=split, duration_s=duration, fit=fit.value)
    tell_skipped(clips)
    triggers = [build(TRIGGERS, text) for text in trigger or ["tone"]]
    shifts = _per_trigger(
        [shift_of(t, clips.classes) for t in labels or ["all-to-one"]], triggers, "--labels"
    )
    rates = _per_trigger(rate or [0.05], triggers, "--rate")
    victim, cache = build(NETWORKS, network), open_cache(no_cache)
    triggers = [
        craft(t, clips, s, network=victim, seed=seed, cache=cache)
        for t, s in zip(triggers, shifts, strict=True)
    ]
    attacks = [
        Attack(t, s, share, cover_rate) for t, s, share in zip(triggers, shifts, rates, strict=True)
    ]
    preference = None
    if hardest:
        preference = hardness(train(victim, clips, seed=seed, cache=cache), clips, cache)
    bad = poison_all(clips, attacks, seed, preference=preference)
    manifest = save(bad, out)
    for one in attacks:
        typer.echo(f"attack: {one.trigger.name}, {text(one.shift)}, rate {one.rate:g}")
    typer.echo(
        f"poisoned {bad.mask.sum() - bad.cover.sum()} of {len(clips)} clips"
        + (f", and {bad.cover.sum()} to cover them" if bad.cover.any() else "")
    )
    typer.echo(f"manifest: {manifest}\nthe truth: {manifest.with_name('truth.csv')}")


def _per_trigger(given: list[T], triggers: Sequence[object], option: str) -> list[T]:
    """One value for each trigger: as given, or the only one for all."""
    if len(given) not in (1, len(triggers)):
        raise SpecError(
            f"{len(triggers)} triggers need {option} once or {len(triggers)} times, "
            f"got {len(given)}"
        )
    return given * len(triggers) if len(given) == 1 else given
