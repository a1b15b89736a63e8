"""Repairs: what they mend, what they leave alone, what they lack; and the command."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import otoscope as oto
from otoscope import audio, cli
from otoscope.cache import Cache
from otoscope.checkpoints import load_checkpoint, save_checkpoint, save_model
from otoscope.clips import Clips
from otoscope.errors import NotApplicable, SpecError
from otoscope.evidence import Outcome, Verdict
from otoscope.intake import load_model
from otoscope.labels import AllToOne
from otoscope.models import AudioModel, FunctionModel, Hearing, TorchModel, TorchScriptModel
from otoscope.models.layout import FirstTensor
from otoscope.models.silence import no_jit_warnings
from otoscope.networks import CNN, M5, Network
from otoscope.registry import build, spec
from otoscope.repairs import REPAIRS, FineTune, Retrain
from otoscope.risk import Risks, risks
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import tones

TRIGGER, SHIFT = Tone(frequency_hz=2500, level_db=0), AllToOne("b")
KNOWN = tones(30, seed=5)


def trained(network: Network, clips: Clips) -> TorchModel:
    return oto.train(network, clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))


@pytest.fixture(scope="module")
def bad() -> TorchModel:
    return trained(CNN(), oto.poison(tones(32), TRIGGER, SHIFT, rate=0.15, seed=0).clips)


def measured(model: AudioModel) -> Risks:
    return risks(model, tones(10, seed=7), TRIGGER, SHIFT, 0)


def test_a_model_is_mended_with_trusted_clips_alone(bad: TorchModel) -> None:
    weights, before = bad.sha256, measured(bad)
    mended = oto.repair(bad, KNOWN, seed=1)
    after = measured(mended)
    assert before.attack_success_rate > 0.6
    assert after.attack_success_rate < 0.2
    assert after.benign_accuracy > before.benign_accuracy - 0.1
    assert (bad.sha256, measured(bad)) == (weights, before)
    assert mended.hearing == bad.hearing
    assert oto.repair(bad, KNOWN, seed=1).sha256 == mended.sha256
    assert oto.repair(bad, KNOWN, seed=2).sha256 != mended.sha256


def test_it_goes_on_from_the_models_weights(bad: TorchModel) -> None:
    hardly = FineTune(steps_per_class=1)
    mended = oto.repair(bad, KNOWN, method=hardly, seed=1)
    other = oto.repair(trained(CNN(), tones(32)), KNOWN, method=hardly, seed=1)
    apart = [
        sum(float((a - b).square().sum()) for a, b in zip(x, y, strict=True))
        for x, y in (
            (mended.module.parameters(), bad.module.parameters()),
            (mended.module.parameters(), other.module.parameters()),
        )
    ]
    assert apart[0] < apart[1]


def test_plain_fine_tuning_is_another_model(bad: TorchModel) -> None:
    plain = oto.repair(bad, KNOWN, method=build(REPAIRS, "fine-tune:varied=false"))
    assert plain.sha256 != oto.repair(bad, KNOWN).sha256


def test_flagged_clips_are_what_retraining_leaves_out(bad: TorchModel) -> None:
    blank = {"false_alarm_level": 0.05, "false_discovery_rate": 0.1, "targets": [], "evidence": []}
    nothing = Verdict(
        verdict=Outcome.NO_EVIDENCE, p_value=1.0, clips=[], not_tested=[], versions={}, **blank
    )
    assert oto.repair(bad, KNOWN, verdict=nothing).sha256 == oto.repair(bad, KNOWN).sha256
    with pytest.raises(NotApplicable, match="needs the audited clips"):
        oto.repair(bad, KNOWN, method=Retrain())


def test_what_it_lacks_is_told(bad: TorchModel) -> None:
    with pytest.raises(NotApplicable, match="no trusted clips of 'c', 'e'"):
        oto.repair(bad, KNOWN.subset(~np.isin(KNOWN.labels, [2, 4])))
    hearing = Hearing(bad.hearing.classes, bad.hearing.sample_rate, bad.hearing.length)
    answers = FunctionModel(lambda x: np.zeros((len(x), 6), np.float32), hearing)
    with pytest.raises(NotApplicable, match=r"weights that can be trained.*of Function there are"):
        oto.repair(answers, KNOWN)
    with no_jit_warnings():
        frozen = torch.jit.freeze(scripted(Waves().eval()))
    with pytest.raises(NotApplicable, match="archive is frozen"):
        oto.repair(TorchScriptModel(frozen, hearing), KNOWN)
    with pytest.raises(SpecError, match="steps_per_class must be at least 1"):
        FineTune(steps_per_class=0)


class Waves(nn.Module):
    """Somebody else's network, on (batch, time); its answer is a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, 24, 64, 16)
        self.second = nn.Conv1d(24, 24, 5, 2)
        self.classify = nn.Linear(24, 6)

    def forward(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        inside = self.second(self.filters(waveforms[:, None]).relu()).relu()
        features = torch.log(1e-4 + inside.mean(dim=2))
        return self.classify(features), features


class Planes(nn.Module):
    """Another one: a spectrogram by fixed kernels, batch normalisation, ``view``; probabilities."""

    def __init__(self, nonlinear: nn.Module | None = None) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(32, 1, 64), requires_grad=False)
        self.filters = nn.Conv2d(1, 4, (3, 9), (1, 4))
        self.norm = nn.BatchNorm2d(4)
        self.nonlinear = nonlinear or nn.ReLU()
        self.classify = nn.Linear(4 * 30 * 29, 6)

    def forward(self, waveforms: Tensor) -> dict[str, Tensor]:
        plane = torch.log(1e-3 + nn.functional.conv1d(waveforms, self.kernels, stride=16).square())
        inside = self.nonlinear(self.norm(self.filters(plane[:, None])))
        answer = self.classify(inside.view(inside.shape[0], -1)).softmax(dim=1)
        return {"features": inside, "logits": answer}


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    with no_jit_warnings():
        return torch.jit.script(module)


@pytest.fixture(scope="module")
def theirs() -> TorchModel:
    """A backdoored one, as ``load_model`` takes it."""
    torch.manual_seed(0)
    clips = oto.poison(tones(48), TRIGGER, SHIFT, rate=0.15, seed=0).clips
    blank = load_model(Waves(), clips=clips)
    assert isinstance(blank, TorchModel)
    recipe = Recipe(epochs=40, batch_size=16, learning_rate=1e-2)
    return oto.train(blank, clips, seed=0, recipe=recipe)


def test_any_module_is_mended_by_its_waveforms(theirs: TorchModel) -> None:
    assert measured(theirs).attack_success_rate > 0.8
    mended = oto.repair(theirs, KNOWN, seed=1)
    assert measured(mended).attack_success_rate < measured(theirs).attack_success_rate - 0.2
    assert measured(mended).benign_accuracy > measured(theirs).benign_accuracy - 0.1
    assert isinstance(mended.module, FirstTensor)
    assert mended.flat


def test_torchscript_is_mended_as_its_module_is(theirs: TorchModel) -> None:
    assert isinstance(theirs.module, FirstTensor)
    model = load_model(scripted(theirs.module.module), clips=tones(10))
    before = measured(model)
    mended = oto.repair(model, KNOWN, seed=1)
    assert measured(model) == before
    assert isinstance(mended, TorchScriptModel)
    assert isinstance(model, TorchScriptModel)
    heard = torch.zeros(2, 1, 2000)
    assert mended.features_and_logits(heard)[0].shape == model.features_and_logits(heard)[0].shape
    assert measured(mended).attack_success_rate < before.attack_success_rate - 0.2


@pytest.mark.parametrize("form", ["eager", "traced"])
def test_planes_fixed_kernels_and_probabilities_are_borne(form: str) -> None:
    torch.manual_seed(0)
    module: nn.Module = Planes()
    if form == "traced":
        with no_jit_warnings():
            module = torch.jit.trace(module.eval(), torch.zeros(2, 1, 2000), strict=False)
    model = load_model(module, clips=KNOWN)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    mended = FineTune(steps_per_class=2).mend(model, KNOWN, None, seed=0)
    assert type(mended) is type(model)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    inner = mended.module.module if isinstance(mended.module, FirstTensor) else mended.module  # type: ignore[attr-defined]
    after = inner.state_dict()
    changed = {
        name.removeprefix("module.") for name in after if not torch.equal(after[name], state[name])
    }
    assert {"filters.weight", "classify.weight"} <= changed
    assert form == "traced" or "kernels" not in changed, "which was frozen by its author"
    answers = mended.logits(torch.zeros(2, 1, 2000))
    assert answers.sum(dim=1) == pytest.approx(1, abs=1e-5)


def test_torchscript_beside_a_checkpoint_leaves_it_loadable(tmp_path: Path) -> None:
    network = oto.train(CNN(), tones(8), seed=0, recipe=Recipe(epochs=1))
    path = save_model(network, tmp_path / "m")
    script = load_model(scripted(Waves()), clips=tones(2))
    assert save_model(script, tmp_path / "m").name == "m.ts"
    assert load_model(path).sha256 == network.sha256
    assert load_model(tmp_path / "m.ts").hearing == script.hearing


def test_equal_weights_of_unlike_networks_are_not_taken_for_each_other(tmp_path: Path) -> None:
    cache, mended = Cache(tmp_path), []
    for nonlinear in (nn.ReLU(), nn.Tanh()):
        torch.manual_seed(0)
        model = load_model(Planes(nonlinear), clips=KNOWN)
        repair = FineTune(steps_per_class=1)
        mended.append(repair.mend(model, KNOWN, None, seed=0, cache=cache))
    assert mended[0].sha256 != mended[1].sha256


def test_a_network_on_the_waveform_is_varied_there() -> None:
    hearing = Hearing(tones(1).classes, 8000, 8000)
    network = TorchModel(M5(width=8).build(hearing), hearing, origin=json.dumps(spec(M5(width=8))))
    varied, plain = (
        FineTune(steps_per_class=1, varied=one).mend(network, tones(10), None, seed=0)
        for one in (True, False)
    )
    assert varied.origin == network.origin
    assert len({network.sha256, varied.sha256, plain.sha256}) == 3


@pytest.fixture(scope="module")
def place(bad: TorchModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, trusted and test clips, as files."""
    root = tmp_path_factory.mktemp("repair")
    save_checkpoint(bad, root / "bad.safetensors")
    for name, clips in (("trusted", KNOWN), ("test", tones(10, seed=7))):
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


def test_a_strangers_model_comes_back_in_its_own_form(
    theirs: TorchModel, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(theirs.module, FirstTensor)
    network, before = theirs.module.module, measured(theirs).attack_success_rate
    torch.save(network.state_dict(), tmp_path / "state.pt")
    with no_jit_warnings():
        torch.jit.save(scripted(network), str(tmp_path / "script.pt"))
    (tmp_path / "their_net.py").write_text(
        "import torch\nfrom torch import nn\n\n\n"
        + inspect.getsource(Waves).replace("Tensor", "torch.Tensor")
    )
    monkeypatch.chdir(tmp_path)
    for name, more, ending in (
        ("state.pt", ["--factory", "their_net:Waves"], ".safetensors"),
        ("script.pt", [], ".ts"),
    ):
        words = ["repair", name, *more, "--trusted", f"{place / 'trusted'}", "--out", "mended"]
        done = CliRunner().invoke(cli.app, [*words, "--test", f"{place / 'test'}"])
        assert done.exit_code == 0, done.output
        assert f"repaired: mended{ending}" in done.output
        again = load_model(f"mended{ending}", factory=more[-1] if more else None)
        assert again.hearing.classes == theirs.hearing.classes
        assert measured(again).attack_success_rate < before - 0.2
        card = json.loads((tmp_path / "mended.json").read_text())
        assert (
            card["notes"]["repaired_from"]
            == load_model(name, factory=more[-1] if more else None, clips=KNOWN).sha256
        )


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
