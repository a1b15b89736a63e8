"""otoscope risk, as a user meets it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import otoscope as oto
from otoscope import cli, detectability
from otoscope.detect import DETECTORS
from otoscope.labels import AllToOne
from otoscope.poisoning import save
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import tones

TRIGGER = "tone:frequency_hz=2500,level_db=0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean and a poisoned model of toy clips, test clips, and the poisoned set."""
    from otoscope.checkpoints import save_checkpoint

    root = tmp_path_factory.mktemp("risk")
    clips, test = tones(32), tones(6, seed=7)
    bad = oto.poison(clips, Tone(frequency_hz=2500, level_db=0), AllToOne("b"), rate=0.15, seed=0)
    save(bad, root / "poisoned")
    save(oto.poison(test, Tone(frequency_hz=900), AllToOne("b"), rate=0.03, seed=0), root / "test")
    for name, some in (("clean", clips), ("bad", bad.clips)):
        how = Recipe(epochs=10, batch_size=8)
        save_checkpoint(
            oto.train(oto.networks.CNN(), some, seed=0, recipe=how), root / f"{name}.safetensors"
        )
    return root


def test_the_three_risks_are_told_and_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {name: DETECTORS[name] for name in ("vouching", "strip", "trigger-inversion")}
    monkeypatch.setattr(detectability, "DETECTORS", quick)  # others train networks
    words = [
        "risk",
        f"{place / 'bad.safetensors'}",
        *("--test", f"{place / 'test' / 'manifest.csv'}", "--trigger", TRIGGER),
        *("--labels", "all-to-one:target=b", "--reference", f"{place / 'clean.safetensors'}"),
        *("--poisoned", f"{place / 'poisoned'}", "--json", f"{tmp_path / 'risk.json'}"),
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert "standard risk: " in done.output
    assert "trained on clean data" in done.output
    assert "backdoor risk: " in done.output
    assert "of the change audible" in done.output
    assert "a classifier that knows the attack, AUROC 1.00" in done.output
    assert "vouching: AUROC" in done.output
    figures = json.loads((tmp_path / "risk.json").read_text())
    assert figures["attack_success_rate"] > 0.6
    assert figures["perceptible"]["stoi"] is None
    assert set(figures["detectors_auroc"]) == {"vouching", "strip"}, "those that score clips"
