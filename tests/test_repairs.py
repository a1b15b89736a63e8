"""Repairs: what they mend, what they leave alone, what they lack; and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import otoscope as oto
from otoscope import audio, cli
from otoscope.checkpoints import load_checkpoint, save_checkpoint
from otoscope.clips import Clips
from otoscope.errors import NotApplicable, SpecError
from otoscope.evidence import Outcome, Verdict
from otoscope.labels import AllToOne
from otoscope.models import FunctionModel, Hearing, TorchModel
from otoscope.networks import CNN, M5, Network
from otoscope.registry import build, spec
from otoscope.repairs import REPAIRS, FineTune, Retrain
from otoscope.risk import Risks, risks
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import tones

TRIGGER, SHIFT = Tone(frequency_hz=2500, level_db=0), AllToOne("b")


def trained(network: Network, clips: Clips) -> TorchModel:
    return oto.train(network, clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))


@pytest.fixture(scope="module")
def bad() -> TorchModel:
    return trained(CNN(), oto.poison(tones(32), TRIGGER, SHIFT, rate=0.15, seed=0).clips)


def measured(model: TorchModel) -> Risks:
    return risks(model, tones(10, seed=7), TRIGGER, SHIFT, 0)


def test_a_model_is_mended_with_trusted_clips_alone(bad: TorchModel) -> None:
    weights, before = bad.sha256, measured(bad)
    mended = oto.repair(bad, tones(10, seed=5), seed=1)
    after = measured(mended)
    assert before.attack_success_rate > 0.6
    assert after.attack_success_rate < 0.2
    assert after.benign_accuracy > before.benign_accuracy - 0.1
    assert (bad.sha256, measured(bad)) == (weights, before)
    assert mended.hearing == bad.hearing
    assert oto.repair(bad, tones(10, seed=5), seed=1).sha256 == mended.sha256
    assert oto.repair(bad, tones(10, seed=5), seed=2).sha256 != mended.sha256


def test_it_goes_on_from_the_models_weights(bad: TorchModel) -> None:
    hardly = FineTune(steps_per_class=1)
    mended = oto.repair(bad, tones(10, seed=5), method=hardly, seed=1)
    other = oto.repair(trained(CNN(), tones(32)), tones(10, seed=5), method=hardly, seed=1)
    apart = [
        sum(float((a - b).square().sum()) for a, b in zip(x, y, strict=True))
        for x, y in (
            (mended.module.parameters(), bad.module.parameters()),
            (mended.module.parameters(), other.module.parameters()),
        )
    ]
    assert apart[0] < apart[1]


def test_plain_fine_tuning_is_another_model(bad: TorchModel) -> None:
    known = tones(10, seed=5)
    plain = oto.repair(bad, known, method=build(REPAIRS, "fine-tune:varied=false"))
    assert plain.sha256 != oto.repair(bad, known).sha256


def test_flagged_clips_are_what_retraining_leaves_out(bad: TorchModel) -> None:
    blank = {"false_alarm_level": 0.05, "false_discovery_rate": 0.1, "targets": [], "evidence": []}
    nothing = Verdict(
        verdict=Outcome.NO_EVIDENCE, p_value=1.0, clips=[], not_tested=[], versions={}, **blank
    )
    known = tones(10, seed=5)
    assert oto.repair(bad, known, verdict=nothing).sha256 == oto.repair(bad, known).sha256
    with pytest.raises(NotApplicable, match="needs the audited clips"):
        oto.repair(bad, known, method=Retrain())


def test_what_it_lacks_is_told(bad: TorchModel) -> None:
    known = tones(10, seed=5)
    with pytest.raises(NotApplicable, match="no trusted clips of 'c', 'e'"):
        oto.repair(bad, known.subset(~np.isin(known.labels, [2, 4])))
    hearing = Hearing(bad.hearing.classes, bad.hearing.sample_rate, bad.hearing.length)
    answers = FunctionModel(lambda x: np.zeros((len(x), 6), np.float32), hearing)
    with pytest.raises(NotApplicable, match="needs a network of ours"):
        oto.repair(answers, known)
    longer = Hearing(hearing.classes, 16_000, 16_000)
    waves = TorchModel(M5().build(longer), longer, origin=json.dumps(spec(M5())))
    with pytest.raises(NotApplicable, match="m5 hears none"):
        oto.repair(waves, known)
    with pytest.raises(SpecError, match="steps_per_class must be at least 1"):
        FineTune(steps_per_class=0)


@pytest.fixture(scope="module")
def place(bad: TorchModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, trusted and test clips, as files."""
    root = tmp_path_factory.mktemp("repair")
    save_checkpoint(bad, root / "bad.safetensors")
    for name, clips in (("trusted", tones(10, seed=5)), ("test", tones(10, seed=7))):
        for number, clip in enumerate(clips):
            (root / name / clip.label).mkdir(parents=True, exist_ok=True)
            file = root / name / clip.label / f"{number}.wav"
            audio.write(file, clips.waveform(number), clips.sample_rate)
    return root


def test_the_command_writes_a_model_and_proves_it(place: Path, tmp_path: Path) -> None:
    words = [
        *("repair", f"{place / 'bad.safetensors'}", "--out", f"{tmp_path / 'mended'}"),
        *("--trusted", f"{place / 'trusted'}"),
    ]
    alone = CliRunner().invoke(cli.app, words)
    assert alone.exit_code == 0, alone.output
    assert "not proved: give --test" in alone.output
    words += ["--test", f"{place / 'test'}"]
    plain = CliRunner().invoke(cli.app, words)
    assert "before: " in plain.output
    assert "right on 60 clean clips" in plain.output
    words += ["--trigger", "tone:frequency_hz=2500,level_db=0", "--labels", "all-to-one:target=b"]
    proved = CliRunner().invoke(cli.app, [*words, "--json", f"{tmp_path / 'risks.json'}"])
    assert proved.exit_code == 0, proved.output
    found = json.loads((tmp_path / "risks.json").read_text())
    assert found["before"]["attack_success_rate"] > 0.6
    assert found["after"]["attack_success_rate"] < 0.2
    assert found["after"]["perceptible"] == found["before"]["perceptible"]
    card = json.loads((tmp_path / "mended.json").read_text())
    model = load_checkpoint(tmp_path / "mended.safetensors")
    assert card["notes"]["repaired_from"] == load_checkpoint(place / "bad.safetensors").sha256
    assert model.sha256 == card["sha256"]


def test_a_proof_needs_clips_and_no_input_is_overwritten(place: Path, tmp_path: Path) -> None:
    words = [
        *("repair", f"{place / 'bad.safetensors'}", "--out", f"{tmp_path / 'mended'}"),
        *("--trusted", f"{place / 'trusted'}"),
    ]
    for more in (["--trigger", "tone"], ["--json", f"{tmp_path / 'risks.json'}"]):
        refused = CliRunner().invoke(cli.app, [*words, *more])
        assert refused.exit_code == 2
        assert f"{more[0]} is about clips of --test" in refused.output
    words[3] = f"{place / 'bad.safetensors'}"
    overwriting = CliRunner().invoke(cli.app, words)
    assert overwriting.exit_code == 2
    assert "would overwrite" in overwriting.output
