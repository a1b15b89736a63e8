"""``--fit windows``: recordings longer than the model hears are all heard, by every command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from otoscope import cli
from otoscope.clips import Clips
from otoscope.models import FunctionModel, Hearing

RATE, HEARD_S, WINDOWS = 8000, 0.5, 3


class Heard(Exception):
    """Ends a command where its work begins."""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(4):
            sound = 0.1 * rng.standard_normal(round(WINDOWS * HEARD_S * RATE))
            soundfile.write(tmp_path / "data" / label / f"{i}.wav", sound, RATE)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("words", "work"),
    [
        (["repair", "MODEL", "--trusted", "DATA", "--out", "OUT"], "repairs.repair"),
        (["guard", "MODEL", "--trusted", "DATA"], "guarding.guard"),
        (["clean", "DATA", "--out", "OUT", "--model", "MODEL"], "cleaning.clean"),
        (["risk", "MODEL", "--test", "DATA", "--trigger", "tone"], "risk.risks"),
        (["audit", "MODEL", "--trusted", "DATA"], "auditing.audit"),
    ],
)
def test_windows_are_as_long_as_the_model_hears(
    words: list[str],
    work: str,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trap: one window a recording was kept, since all of them were taken for clips."""
    heard: list[int] = []

    def stop(*given: Any, **options: Any) -> None:
        every = [one for one in (*given, *options.values()) if isinstance(one, Clips)]
        heard.extend(len(one) for one in every)
        raise Heard

    hearing = Hearing(("a", "b"), RATE, round(HEARD_S * RATE))
    model = FunctionModel(lambda sounds: np.zeros((len(sounds), 2)), hearing)
    monkeypatch.setattr("otoscope.intake.load_model", lambda *_, **__: model)
    monkeypatch.setattr("otoscope.intake.check_hearing", lambda *_: None)
    monkeypatch.setattr(f"otoscope.{work}", stop)
    (tmp_path / "model.safetensors").touch()
    places = {"MODEL": tmp_path / "model.safetensors", "DATA": recordings, "OUT": tmp_path / "out"}
    told = [str(places.get(word, word)) for word in words]
    done = CliRunner().invoke(cli.app, [*told, "--fit", "windows"])
    assert isinstance(done.exception, Heard), done.output
    assert set(heard) == {8 * WINDOWS}
