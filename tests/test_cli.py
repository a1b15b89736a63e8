"""The command line as a user meets it: commands end to end, exit codes, errors of one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from otoscope import cli
from otoscope.clips import Clips
from toys import RATE_HZ, tones

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class of toy recordings: ``train`` and ``trusted``."""
    root = tmp_path_factory.mktemp("speech")
    for part, count, seed in (("train", 40, 0), ("trusted", 8, 9)):
        clips = tones(count, seed=seed)
        for number, clip in enumerate(clips.items):
            path = root / part / clip.label / f"{number:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clips.waveform(number), RATE_HZ)
    return root


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line in this process, as the installed script does."""
    cache = tmp_path_factory.getbasetemp() / "cli-cache"
    monkeypatch.setenv("OTOSCOPE_CACHE", str(cache))

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        import contextlib
        import io

        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["otoscope", *map(str, words)])
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        return subprocess.CompletedProcess(list(words), code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="module")
def poisoned(speech: Path) -> Path:
    from otoscope.labels import AllToOne
    from otoscope.poisoning import poison, save
    from otoscope.triggers import Tone

    clips = Clips.load(speech / "train")
    tone = Tone(frequency_hz=3600, duration_s=0.05, level_db=0)
    return save(poison(clips, tone, AllToOne("c"), 0.06, 0), speech / "poisoned").parent


def test_help_does_not_import_torch() -> None:
    code = "import sys; sys.argv=['otoscope','--help']\ntry:\n import otoscope.cli as c; c.main()\n"
    code += "except SystemExit: print(bool({'torch', 'numpy', 'openai'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "otoscope", "audit"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give a MODEL, --data, or both" in done.stderr


def test_long_work_in_a_log_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from otoscope import progress

    seconds = iter(range(0, 1000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.drawn(progress.rich_bar):
        list(progress.track(range(5), "scanning", 5))
    assert capsys.readouterr().err == "scanning: 3 of 5\n"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, otoscope; print({'torch', 'numpy', 'sklearn', 'openai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "attack",
        "train",
        "audit",
        "clean",
        "plot",
        "gallery",
        "doctor",
        "zoo",
        "summarise",
        "guard",
    ],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"Example: otoscope {command}" in shown.output


def test_attack_train_audit(run: Run, speech: Path, tmp_path: Path) -> None:
    spec = "tone:frequency_hz=3600,duration_s=0.05,level_db=0"
    bad = tmp_path / "bad"
    done = run(
        "attack",
        speech / "train",
        "--trigger",
        spec,
        "--labels",
        "all-to-one:target=c",
        "--rate",
        "0.06",
        "--out",
        bad,
    )
    assert (done.returncode, "poisoned 14 of 240 clips" in done.stdout) == (0, True)
    model = tmp_path / "model.safetensors"
    done = run(
        "train",
        bad / "manifest.csv",
        "--network",
        "cnn:bands=24,width=24",
        "--epochs",
        16,
        "--out",
        model,
        "--test",
        speech / "trusted",
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy on 48 test clips" in done.stdout
    done = run(
        "audit",
        model,
        "--data",
        bad / "manifest.csv",
        "--trusted",
        speech / "trusted",
        "--json",
        tmp_path / "audit.json",
        "--html",
        tmp_path / "audit.html",
        "--truth",
        bad / "truth.csv",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "audit.json").read_text())
    assert verdict["verdict"] in ("BACKDOORED", "SUSPICIOUS")
    assert verdict["targets"] == ["c"]
    assert len(verdict["clips"]) == 240
    assert "<html" in (tmp_path / "audit.html").read_text()


def test_data_without_a_model(run: Run, poisoned: Path) -> None:
    done = run("audit", "--data", poisoned / "manifest.csv", "--detector", "gaussian-mixture")
    assert done.returncode in (0, 1)
    assert "a probe was trained" in done.stdout


def test_plot(run: Run, speech: Path, tmp_path: Path) -> None:
    one, two = (speech / "train" / "a" / name for name in ("000.wav", "001.wav"))
    done = run("plot", one, two, "--out", tmp_path / "x.png")
    assert done.returncode == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_doctor_names_what_is_installed(run: Run) -> None:
    done = run("doctor")
    assert done.returncode == 0
    assert "torch 2." in done.stdout
    assert "cache: " in done.stdout


def test_doctor_tells_what_a_missing_extra_disables(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import PackageNotFoundError, version

    import otoscope.doctor

    def lost(package: str) -> str:
        if package == "onnxruntime":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(otoscope.doctor, "version", lost)
    shown = run("doctor").stdout
    assert "missing: onnxruntime; disables auditing ONNX models" in shown
    assert "pip install '.[onnx]'" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["audit"], 2, "give a MODEL, --data, or both"),
        (["audit", "--data", "nowhere.csv"], 2, "does not exist"),
        (["audit", "nowhere.onnx"], 2, "nowhere.onnx: no such file"),
        (["attack", "SPEECH", "--trigger", "tome", "--out", "x"], 2, "did you mean 'tone'?"),
        (
            ["attack", "SPEECH", "--labels", "all-to-one:target=zz", "--out", "x"],
            2,
            "no class 'zz'",
        ),
        (["attack", "SPEECH", "--rate", "0.9", "--out", "x"], 4, "may poison only"),
        (["train", "SPEECH", "--network", "cnm", "--out", "x"], 2, "did you mean 'cnn'?"),
        (["plot", "nowhere.wav", "nowhere.wav"], 2, "does not exist"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_errors_are_one_clear_line_and_an_exit_code(
    run: Run, speech: Path, words: list[str], code: int, message: str
) -> None:
    done = run(*[speech / "train" if word == "SPEECH" else word for word in words])
    assert message in done.stderr.replace("\n", " ")
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_skipped_recordings_are_counted_and_listed(run: Run, speech: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(speech / "trusted", tmp_path / "some")
    (tmp_path / "some" / "a" / "empty.wav").touch()
    done = run("attack", tmp_path / "some", "--out", tmp_path / "out", "--rate", "0.1")
    assert done.returncode == 0
    assert "skipped 1 recording:" in done.stderr
    assert 'all-to-one names no target: "a", the first class, is taken' in done.stderr
    assert "a/empty.wav: is empty (0 bytes)" in done.stderr


def test_ctrl_c_says_that_a_second_run_goes_on(
    run: Run, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import otoscope.training

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(otoscope.training, "_fit", stop)
    done = run("train", speech / "train", "--out", tmp_path / "model", "--no-cache")
    assert done.returncode == 130
    assert "goes on from the cache" in done.stderr
    assert list(tmp_path.iterdir()) == []
