"""Model files as users hand them over: good, incomplete, mislabelled, broken, hostile."""

import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from otoscope import audio
from otoscope.checkpoints import save_checkpoint
from otoscope.clips import Clips
from otoscope.errors import ModelError, ModelMismatch, NoSuchModel, SpecError, UnsafeModel
from otoscope.intake import check_hearing, load_model
from otoscope.models import FunctionModel, Hearing, TorchModel, export_torchscript
from otoscope.networks import CNN
from otoscope.registry import spec

HEARING = Hearing(("a", "b", "c"), 8000, 4000)
KNOWN = {"sample_rate": 8000, "classes": ["a", "b", "c"], "duration_s": 0.5}
FACTORY = """
from otoscope.models import Hearing
from otoscope.networks import CNN

def make():
    return CNN(width=12).build(Hearing(("a", "b", "c"), 8000, 4000), seed=9)

def make_for(num_classes, width=12):
    return CNN(width=width).build(Hearing(tuple(map(str, range(num_classes))), 8000, 4000), seed=9)

def make_two(classes, width):
    return None

def make_wrong():
    return CNN(width=18).build(Hearing(("a", "b", "c"), 8000, 4000))

def make_text(classes):
    return "a network"

def fail():
    raise ValueError("oh")

not_callable = 3
"""


@pytest.fixture
def model() -> TorchModel:
    network = CNN(width=12)
    return TorchModel(network.build(HEARING, seed=3), HEARING, origin=json.dumps(spec(network)))


@pytest.fixture
def noise() -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(0.1 * rng.standard_normal((5, 1, 4000)).astype(np.float32))


@pytest.fixture
def factory(tmp_path, monkeypatch) -> str:
    (tmp_path / "intake_factories.py").write_text(FACTORY)
    (tmp_path / "intake_broken.py").write_text("def make(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "intake_factories", raising=False)
    return "intake_factories:make"


class TestWeights:
    def test_our_own_checkpoint(self, tmp_path, model, noise):
        loaded = load_model(save_checkpoint(model, tmp_path / "m"))
        assert loaded.hearing == HEARING
        assert torch.equal(loaded.logits(noise), model.logits(noise))

    def test_our_own_checkpoint_against_an_option(self, tmp_path, model):
        path = save_checkpoint(model, tmp_path / "m")
        load_model(path, **KNOWN)
        with pytest.raises(ModelMismatch, match="options contradict"):
            load_model(path, sample_rate=16000)

    @pytest.mark.parametrize("function", ["make", "make_for"])
    @pytest.mark.parametrize("name", ["m.safetensors", "m.pt", "m.pth"])
    def test_a_state_dict(self, tmp_path, model, noise, factory, name, function):
        path, state = tmp_path / name, model.module.state_dict()
        save_file(state, path) if name == "m.safetensors" else torch.save(state, path)
        loaded = load_model(str(path), factory=f"intake_factories:{function}", **KNOWN)
        assert torch.equal(loaded.logits(noise), model.logits(noise))
        assert torch.equal(
            loaded.features_and_logits(noise)[0], model.features_and_logits(noise)[0]
        )

    def test_a_training_checkpoint_with_the_state_dict_inside(self, tmp_path, model, factory):
        torch.save({"epoch": 3, "state_dict": model.module.state_dict()}, tmp_path / "m.ckpt")
        loaded = load_model(tmp_path / "m.ckpt", factory=factory, **KNOWN)
        assert loaded.hearing == HEARING

    def test_the_digest_is_of_the_files_bytes(self, tmp_path, model, factory):
        import hashlib

        torch.save(model.module.state_dict(), tmp_path / "m.pt")
        script = export_torchscript(model, tmp_path / "s.ts")
        for path in (tmp_path / "m.pt", script):
            loaded = load_model(path, factory=factory, **KNOWN)
            assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    @pytest.mark.parametrize(
        ("named", "error", "match"),
        [
            (None, ModelError, "holds weights but no network; give factory='module:function'"),
            ("intake_factories:mke", SpecError, "has no 'mke'; did you mean 'make'"),
            ("intake_factoriez:make", SpecError, "cannot import 'intake_factoriez'"),
            ("intake_factories.make", SpecError, "expected module:function, such as"),
            (
                "intake_factories:not_callable",
                SpecError,
                "expected a function that makes a network",
            ),
            ("intake_factories:make_two", SpecError, "one that requires classes, width"),
            ("intake_factories:make_wrong", ModelError, "does not fit the network"),
            ("intake_factories:make_text", ModelError, "expected a torch.nn.Module, got str"),
            ("intake_factories:fail", ModelError, r"making the network failed \(ValueError: oh"),
            ("intake_broken:make", SpecError, r"importing 'intake_broken' failed \(SyntaxError"),
        ],
    )
    def test_a_factory_that_cannot_be_used(self, tmp_path, model, factory, named, error, match):
        torch.save(model.module.state_dict(), tmp_path / "m.pt")
        with pytest.raises(error, match=match):
            load_model(tmp_path / "m.pt", factory=named, **KNOWN)

    def test_no_state_dict_inside(self, tmp_path, factory):
        torch.save([torch.zeros(3)], tmp_path / "m.pt")
        with pytest.raises(ModelError, match="expected a state dict"):
            load_model(tmp_path / "m.pt", factory=factory, **KNOWN)


class Trap:
    """Unpickling this would create the file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


class Wrapped(nn.Module):
    def forward(self, waveforms):
        return waveforms[:, 0, :3]


class TestHostile:
    @pytest.mark.parametrize("name", ["m.pkl", "m.pt", "m.safetensors", "m.onnx", "m.model"])
    @pytest.mark.parametrize("protocol", [0, 4])
    def test_a_pickle_is_refused_and_never_run(self, tmp_path, name, protocol):
        sprung = tmp_path / "sprung"
        (tmp_path / name).write_bytes(pickle.dumps(Trap(sprung), protocol))
        with pytest.raises(
            UnsafeModel, match=r"(posix|nt)\.system.* nothing was executed.*ask its author"
        ):
            load_model(tmp_path / name, **KNOWN)
        assert not sprung.exists()

    @pytest.mark.parametrize("zipped", [True, False])
    def test_a_trap_among_weights(self, tmp_path, model, factory, zipped):
        sprung = tmp_path / "sprung"
        state = {**model.module.state_dict(), "extra": Trap(sprung)}
        torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(UnsafeModel, match=r"(posix|nt)\.system"):
            load_model(tmp_path / "m.pt", factory=factory, **KNOWN)
        assert not sprung.exists()

    def test_a_whole_module(self, tmp_path):
        torch.save(Wrapped(), tmp_path / "m.pt")
        with pytest.raises(UnsafeModel, match=r"a pickle, which can execute code.*Wrapped"):
            load_model(tmp_path / "m.pt", **KNOWN)

    def test_torchscript_that_would_write_a_file(self, tmp_path):
        sprung = tmp_path / "sprung"
        module = _scripted_writer(str(sprung))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(module, tmp_path / "m.pt")
        with pytest.raises(UnsafeModel, match="uses save, which can read or write files"):
            load_model(tmp_path / "m.pt", **KNOWN)
        assert not sprung.exists()

    @pytest.mark.parametrize(
        "code",
        [
            "torch.save(y, 'f')",
            "(torch . # hidden\n save)(y, 'f')",
            "ops.aten.save(y, 'f')",
            "torch.from_file('/etc/passwd', False, 4)",
            "'''never closed",
        ],
    )
    @pytest.mark.parametrize("entry", ["m/code/__torch__.py", "m/CODE/other.PY"])
    def test_torchscript_is_read_before_it_is_loaded(self, tmp_path, code, entry):
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            archive.writestr("m/constants.pkl", b"")
            archive.writestr("m/code/empty.py", "")
            archive.writestr(entry, code)
        with pytest.raises(UnsafeModel, match=rf"its code, {entry}, (uses|cannot be read)"):
            load_model(tmp_path / "m.pt", **KNOWN)

    def test_a_damaged_torchscript_archive(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
            archive.writestr("m/constants.pkl", b"")
            archive.writestr("m/code/empty.py", "")
        with pytest.raises(ModelError, match="not a whole TorchScript archive"):
            load_model(tmp_path / "m.pt", **KNOWN)


class Writer(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        torch.save(waveforms, self.path)
        return waveforms[:, 0, :3]


def _scripted_writer(path: str) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(Writer(path))


class TestBroken:
    @pytest.mark.parametrize("name", ["m.pt", "m.safetensors", "m.onnx", "m.pkl"])
    def test_empty(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(ModelError, match="is empty"):
            load_model(tmp_path / name, **KNOWN)

    def test_text_renamed(self, tmp_path):
        (tmp_path / "m.pt").write_text("hello, this is not a model\n")
        with pytest.raises(ModelError, match="neither TorchScript nor a state dict; models are"):
            load_model(tmp_path / "m.pt", **KNOWN)

    def test_truncated_torchscript(self, tmp_path, model):
        path = export_torchscript(model, tmp_path / "m.pt")
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(ModelError, match="neither TorchScript nor a state dict"):
            load_model(path)

    def test_truncated_safetensors(self, tmp_path, model, factory):
        path = save_checkpoint(model, tmp_path / "m")
        path.write_bytes(path.read_bytes()[:-100])
        for made_by in (None, factory):
            with pytest.raises(ModelError, match="safetensors"):
                load_model(path, factory=made_by)

    def test_missing(self, tmp_path):
        with pytest.raises(NoSuchModel, match="no such file"):
            load_model(tmp_path / "m.pt", **KNOWN)

    def test_a_folder(self, tmp_path):
        with pytest.raises(ModelError, match="is a folder"):
            load_model(tmp_path, **KNOWN)

    def test_an_unknown_ending(self, tmp_path):
        (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n")
        with pytest.raises(ModelError, match=r"a file ending in '\.h5' is not known; models are"):
            load_model(tmp_path / "m.h5", **KNOWN)


class TestHearingOf:
    """Where sample rate, classes and length come from: option, then JSON, then clips."""

    @pytest.fixture
    def script(self, tmp_path, model) -> Path:
        return export_torchscript(model, tmp_path / "m.pt")

    def test_the_json_beside(self, script):
        assert load_model(script).hearing == HEARING

    def test_an_option_goes_before_the_json(self, script, tmp_path):
        (tmp_path / "names.txt").write_text("x\ny\n\n z \n")
        loaded = load_model(
            script, sample_rate=16000, classes=tmp_path / "names.txt", duration_s=0.25
        )
        assert loaded.hearing == Hearing(("x", "y", "z"), 16000, 4000)

    def test_the_json_goes_before_the_clips(self, script, tones):
        assert load_model(script, clips=tones, trusted=tones).hearing == HEARING

    def test_the_clips_fill_what_is_missing(self, script, tones):
        fields = {"sample_rate": 8000, "classes": ["c", "b", "a", "z"]}
        script.with_suffix(".json").write_text(json.dumps(fields))
        with pytest.raises(ModelMismatch, match=r"answers with 3 numbers .* there are 4 classes"):
            load_model(script, trusted=tones)
        fields["classes"].pop()
        script.with_suffix(".json").write_text(json.dumps(fields))
        loaded = load_model(script, trusted=tones)
        assert loaded.hearing == Hearing(("c", "b", "a"), 8000, round(8000 * tones.duration_s))

    def test_nobody_says(self, script):
        script.with_suffix(".json").unlink()
        with pytest.raises(ModelError, match="sample_rate and classes not known; put"):
            load_model(script, duration_s=0.5)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("{", "not readable as JSON"),
            ("[1]", "expected a JSON object"),
            ('{"sample_rate": "8k"}', "expected a number for sample_rate, got '8k'"),
            ('{"sample_rate": 0}', "expected sample_rate above 0"),
            ('{"classes": "a,b"}', "expected a list of names"),
            ('{"classes": ["a", "a"]}', "two or more different class names"),
        ],
    )
    def test_a_json_that_cannot_be_used(self, script, text, match):
        script.with_suffix(".json").write_text(text)
        with pytest.raises(ModelError, match=match):
            load_model(script, **KNOWN)

    def test_a_classes_file_that_is_not_there(self, script, tmp_path):
        with pytest.raises(ModelError, match="cannot be read as a list of class names"):
            load_model(script, classes=tmp_path / "none.txt")


PITCHES_HZ = {"bass": 400, "mid": 800, "treble": 1600, "top": 3200}
TONE_RATE = 16000


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> Clips:
    """Six tones of each pitch, at 16 kHz."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    time_s = np.arange(TONE_RATE // 4) / TONE_RATE
    for name, pitch in PITCHES_HZ.items():
        (folder / name).mkdir()
        for number in range(6):
            tone = 0.3 * np.sin(2 * np.pi * (pitch * time_s + rng.uniform()))
            audio.write(folder / name / f"{number}.wav", tone.astype(np.float32), TONE_RATE)
    return Clips.load(folder)


def listens_for_pitch(waveforms: np.ndarray) -> np.ndarray:
    """Energy at each of the four pitches, for audio at 16 kHz, of any length."""
    time_s = np.arange(waveforms.shape[-1]) / TONE_RATE
    window = np.hanning(len(time_s))
    pitches = np.array(list(PITCHES_HZ.values()))
    waves = np.exp(-2j * np.pi * pitches[:, None] * time_s) * window
    return np.log(np.abs(waveforms[:, 0] @ waves.T) + 1e-6)


def pitch_model(names=tuple(PITCHES_HZ), rate=TONE_RATE, length=4000) -> FunctionModel:
    return FunctionModel(listens_for_pitch, Hearing(names, rate, length))


class TestCheckHearing:
    def test_a_model_that_hears(self, tones):
        assert check_hearing(pitch_model(), tones) == 1.0

    def test_permuted_classes_are_put_in_order(self, tones):
        with pytest.raises(
            ModelMismatch, match=r"0% of 24 .*permuted: 100% .* order bass, mid, treble, top"
        ):
            check_hearing(pitch_model(("mid", "treble", "top", "bass")), tones)

    @pytest.mark.parametrize("length", [2000, 4000])
    def test_a_wrong_sample_rate_is_guessed(self, tones, length):
        with pytest.raises(ModelMismatch, match=r"looks like 16000 Hz.*instead of 8000 Hz"):
            check_hearing(pitch_model(rate=8000, length=length), tones)

    def test_a_deaf_model(self, tones):
        def deaf(waveforms: np.ndarray) -> np.ndarray:
            return np.tile(np.float32([0, 1, 0, 0]), (len(waveforms), 1))

        model = FunctionModel(deaf, Hearing(tuple(PITCHES_HZ), TONE_RATE, 4000))
        with pytest.raises(ModelMismatch, match=r"25% of 24 .*is its sample rate 16000 Hz"):
            check_hearing(model, tones)
        mostly = tones.subset(np.flatnonzero((tones.labels == 1) | (np.arange(24) == 0)))
        seven = check_hearing(model, mostly)
        assert seven == pytest.approx(6 / 7)  # too few to tell: a perfect model is no surer

    def test_one_class_alone_can_tell(self, tones):
        bass = tones.subset(tones.labels == 0)
        assert check_hearing(pitch_model(), bass) == 1.0
        with pytest.raises(ModelMismatch, match="0% of 6"):
            check_hearing(pitch_model(("mid", "bass", "treble", "top")), bass)

    def test_too_few_clips_to_tell(self, tones):
        two = tones.subset(np.array([0, 6]))
        assert check_hearing(pitch_model(("mid", "treble", "top", "bass")), two) == 0.0
