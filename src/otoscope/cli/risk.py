"""otoscope risk: the three risks of a model and a trigger."""

from dataclasses import asdict
from functools import partial
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
    SampleRate,
    Seed,
    Split,
    app,
    check_device,
    tell_skipped,
    window_s,
)
from otoscope.cli.outputs import check_outputs, json_text
from otoscope.cli.shifts import shift_of

if TYPE_CHECKING:
    from otoscope.clips import Clips
    from otoscope.models import AudioModel
    from otoscope.risk import Risks


@app.command()
def risk(
    model: Annotated[str, typer.Argument(help="The model file; see otoscope audit.")],
    test: Annotated[Path, typer.Option(exists=True, help="Clips that it was not trained on.")],
    trigger: Annotated[str, typer.Option(help="Trigger, e.g. tone:level_db=-20.")] = "tone",
    labels: Annotated[
        str, typer.Option(help="Label shift, e.g. all-to-one:target=yes.")
    ] = "all-to-one",
    reference: Annotated[
        str | None, typer.Option(help="A model of the same network, trained on clean data.")
    ] = None,
    poisoned: Annotated[
        Path | None,
        typer.Option(help="What otoscope attack wrote: how well detectors tell its clips."),
    ] = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="STOI and DNSMOS, too (the extra 'quality').")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
    factory: Factory = None,
    sample_rate: SampleRate = None,
    classes: ClassNames = None,
    split: Split = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    device: Device = "cpu",
    seed: Seed = 0,
) -> None:
    """Measure the standard, the backdoor and the perceptible risk.

    Example: otoscope risk model.safetensors --test test/ --trigger tone
    --labels all-to-one:target=yes --reference clean.safetensors
    """
    from otoscope.cache import write_atomically
    from otoscope.clips import Clips
    from otoscope.crafting import craft
    from otoscope.detectability import told_auroc
    from otoscope.intake import load_model
    from otoscope.models.card import raw_card
    from otoscope.registry import build
    from otoscope.risk import risks
    from otoscope.triggers import TRIGGERS

    check_outputs({"--json": json}, [model, test, reference, classes])
    check_device(device)
    clips = Clips.load(test, split=split, duration_s=duration, fit=fit.value)
    tell_skipped(clips)
    load = partial(
        load_model,
        factory=factory,
        sample_rate=sample_rate,
        classes=classes,
        clips=clips,
        device=device,
    )
    listener = load(model)
    if seconds := window_s(fit, duration, listener):
        clips = Clips.load(test, split=split, duration_s=seconds, fit=fit.value)
    clips = clips.as_heard_by(
        listener.hearing.sample_rate, listener.hearing.length, listener.hearing.classes
    )
    other = None
    if reference:
        ours = "network" in raw_card(Path(reference))  # a checkpoint tells all by itself
        other = load_model(reference, clips=clips, device=device) if ours else load(reference)
    shift = shift_of(labels, clips.classes)
    ready = craft(build(TRIGGERS, trigger), clips, shift, surrogate=listener, seed=seed)
    measured = risks(
        listener,
        clips,
        ready,
        shift,
        seed,
        reference_accuracy=_accuracy(other, clips) if other else None,
        quality=quality,
    )
    told = told_auroc(clips, ready, seed)
    found = _detectors(listener, poisoned, seed) if poisoned else {}
    for line in [*_risk_lines(measured), *_machine_lines(told, found)]:
        typer.echo(line)
    if json:
        figures: dict[str, Any] = asdict(measured) | {"told_auroc": told, "detectors_auroc": found}
        write_atomically(json, json_text(figures))
        typer.echo(f"json: {json}")


def _accuracy(other: "AudioModel", clips: "Clips") -> float:
    """The accuracy of another model on the same clips."""
    from otoscope.metrics import accuracy
    from otoscope.models import activations

    hearing = other.hearing
    heard = clips.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)
    return accuracy(activations(other, heard).predicted, heard.labels)


def _detectors(model: "AudioModel", folder: Path, seed: int) -> dict[str, float]:
    """The AUROC of each detector on a poisoned set that was written to disk."""
    import numpy as np

    from otoscope.auditing import look
    from otoscope.clips import Clips
    from otoscope.detectability import detectors_auroc
    from otoscope.report import read_truth

    clips = Clips.load(folder / "manifest.csv")
    truth = read_truth(folder / "truth.csv")
    origins = [truth.origin(*clip.recording) for clip in clips]
    mask = np.array([origin is not None and origin.poisoned for origin in origins])
    return detectors_auroc(mask, look(model, clips, seed=seed))


def _risk_lines(measured: "Risks") -> list[str]:
    heard = measured.perceptible
    reference = measured.reference_accuracy
    beside = f"; trained on clean data {reference:.1%}" if reference is not None else ""
    lines = [
        f"standard risk: {measured.standard:.1%} of {measured.n_benign} clean clips are wrong "
        f"(accuracy {measured.benign_accuracy:.1%}, {_span(measured.benign_accuracy_interval)}"
        f"{beside})",
        f"backdoor risk: {measured.backdoor:.1%} of {measured.n_attackable} triggered clips miss "
        f"the attacker's goal (success {measured.attack_success_rate:.1%}, "
        f"{_span(measured.attack_success_rate_interval)})",
        f"perceptible risk, people: SNR {heard.snr_db:.1f} dB, segmental "
        f"{heard.segmental_snr_db:.1f} dB, log-spectral distance "
        f"{heard.log_spectral_distance_db:.1f} dB, {heard.audible_share:.0%} of the change audible",
    ]
    if heard.stoi is not None:
        lines.append(f"  intelligibility (STOI): {heard.stoi:.2f}")
    if heard.dnsmos_drop is not None:
        lines.append(f"  loss of predicted opinion score (DNSMOS): {heard.dnsmos_drop:.2f}")
    return lines


def _machine_lines(told: float, found: dict[str, float]) -> list[str]:
    lines = [f"perceptible risk, machines: a classifier that knows the attack, AUROC {told:.2f}"]
    return lines + [f"  {name}: AUROC {value:.2f}" for name, value in found.items()]


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
