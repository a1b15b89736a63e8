"""What commands write: nothing that they read is lost, nothing is found out after the work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import otoscope as oto
from conftest import MakeTree
from otoscope import cli
from otoscope.checkpoints import save_checkpoint
from otoscope.cli.app import fail
from otoscope.cli.outputs import json_text
from otoscope.clips import Clips
from otoscope.models import Hearing, TorchModel
from otoscope.networks import CNN


def called(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [f"{word}" for word in words], env={"COLUMNS": "300"})


@pytest.fixture
def tree(make_tree: MakeTree) -> Path:
    return make_tree(("a", "b", "c"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    hearing = Hearing(("a", "b", "c"), 16_000, 3200)
    made = TorchModel(CNN(width=12).build(hearing), hearing, origin='{"name": "cnn", "width": 12}')
    return save_checkpoint(made, tmp_path / "model")


def test_a_verdict_does_not_take_the_place_of_the_models_card(model: Path, tree: Path) -> None:
    card = model.with_suffix(".json")
    before = card.read_text()
    done = called("audit", model, "--data", tree, "--json", card)
    assert done.exit_code == 2
    assert f"--json would overwrite {card}, which is read" in done.output
    assert card.read_text() == before


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "--data", "list.csv", "--json", "list.csv"),
        ("audit", "--data", "list.csv", "--html", "tree"),
        ("audit", "model.onnx", "--data", "list.csv", "--json", "model.json"),
        ("clean", "list.csv", "--out", "tree"),
        ("clean", "list.csv", "--out", "new.csv", "--json", "list.csv"),
        ("clean", "list.csv", "--out", "new.csv", "--left-out", "list.csv/x"),
        ("clean", "list.csv", "--out", "new.csv", "--trusted", "new.csv"),
        ("train", "list.json", "--out", "list"),
        ("train", "list.csv", "--out", "list.csv/x"),
        ("attack", "list.csv", "--out", "list.csv/x"),
        ("attack", "tree", "--out", "tree/d"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(
    words: tuple[str, ...], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("list.csv", "list.json"):
        Path(name).write_text("path,label\n")

    def load(*_: object, **__: object) -> Clips:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(Clips, "load", load)
    done = called(*words)
    assert done.exit_code == 2, done.exception
    assert Path("list.csv").read_text() == "path,label\n"
    assert len(list(tree.rglob("*.wav"))) == 9


def test_two_outputs_are_not_one_file(model: Path, tree: Path, tmp_path: Path) -> None:
    """Trap: the figures took the place of the mended model's card."""
    out, told = tmp_path / "new.safetensors", tmp_path / "new.json"
    done = called(
        *("repair", model, "--trusted", tree, "--test", tree, "--out", out, "--json", told)
    )
    assert done.exit_code == 2
    assert "would both write" in " ".join(done.output.replace("│", "").split())
    assert not list(tmp_path.glob("new*"))


def test_a_closed_pipe_is_no_finding() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", "from otoscope.cli import main; main()", "doctor"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 130
    assert b"Traceback" not in done.stderr


def test_json_has_no_infinity() -> None:
    told = json_text({"a": float("nan"), "b": [float("-inf"), 1.5], "c": {"d": 2}})
    assert json.loads(told) == {"a": None, "b": [None, 1.5], "c": {"d": 2}}


def test_a_strangers_words_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fail("class 'ba\x1b[2Kss' is not known\nand so on", 2)
    assert "\x1b" not in capsys.readouterr().err


def test_a_dot_is_part_of_a_models_name(model: Path, tmp_path: Path) -> None:
    loaded = oto.load_model(model)
    assert isinstance(loaded, TorchModel)
    for name in ("net-0.5", "net-0.1"):
        assert save_checkpoint(loaded, tmp_path / name) == tmp_path / f"{name}.safetensors"
        assert (tmp_path / f"{name}.json").exists()
        oto.load_model(tmp_path / f"{name}.safetensors")


def test_poison_may_be_written_through_a_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    done = called("attack", tree, "--out", tmp_path / "link", "--rate", 0.3)
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "empty" / "manifest.csv").exists()
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("command", ["attack", "audit", "clean", "train", "redteam", "harden"])
def test_a_seed_is_no_less_than_0(command: str, tree: Path) -> None:
    data = ("--data", tree) if command == "audit" else (tree,)
    done = called(command, *data, "--seed", -1)
    assert done.exit_code == 2
    assert "--seed" in done.output
    assert "greater than or equal to 0" in done.output


def test_a_device_that_is_not_here_is_refused(tree: Path, tmp_path: Path) -> None:
    done = called("train", tree, "--out", tmp_path / "m", "--device", "nope")
    assert "--device nope cannot be used here" in str(done.exception)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (OSError(28, "No space left on device", "here.wav"), "here.wav: No space left on device"),
        (ZeroDivisionError("oh"), "mistake of otoscope's"),
    ],
)
def test_what_nobody_foresaw_is_no_finding(
    raised: Exception,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> None:
        raise raised

    monkeypatch.setattr(sys.modules["otoscope.cli.app"], "app", broken)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 4
    assert told in capsys.readouterr().err


def test_skipped_recordings_are_counted_and_the_rest_of_them_too(
    tree: Path, tmp_path: Path
) -> None:
    for number in range(8):
        (tree / "a" / f"broken{number}.wav").write_text("no sound")
    done = called("attack", tree, "--out", tmp_path / "out", "--rate", 0.3)
    assert "skipped 8 recordings:" in done.output
    assert "and 3 more" in done.output
    assert "0x" not in done.output, "an address in memory"
