"""The commands that ask a language model: what is printed, what is sent, what it cost."""

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model_server import said, serving
from otoscope import cli
from otoscope.clips import Clips
from otoscope.errors import SpecError
from redteam_toys import Hill
from reports import poisoned, verdict_of
from sounds import clips_of


def call(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bad = poisoned()
    return verdict_of(bad.clips, bad.mask).save(tmp_path_factory.mktemp("audit") / "audit.json")


def test_a_summary_needs_no_model(verdict: Path) -> None:
    done = call("summarise", verdict)
    assert done.exit_code == 0
    assert done.stdout.startswith("Backdoored: clips that carry a trigger are called “b”.")
    assert done.stderr == ""
    assert call("summarise", verdict, "--dry-run").stdout == "nothing is sent\n"


def test_a_models_summary_tells_its_cost(verdict: Path) -> None:
    with serving(said("chat", "It is backdoored: 12 clips."), said("chat", "Fine.")) as server:
        llm = f"local:base_url={server.url}"
        limits = "queries=1,money=1,input_price=2,output_price=4"
        done = call("summarise", verdict, "--llm", llm, "--llm-limits", limits)
        dropped = call("summarise", verdict, "--llm", llm)
    assert done.stdout.endswith("It is backdoored: 12 clips.\n")
    assert "written by local; asked local: 1 queries, 18 tokens, " in done.stderr
    assert "0.0001 by your prices" in done.stderr
    assert "text was not used: the reply says no word of the outcome" in dropped.stderr
    assert "written by otoscope" in dropped.stderr
    assert dropped.exit_code == 0


def test_a_dry_run_shows_what_would_be_sent(verdict: Path) -> None:
    with serving(said("chat", "")) as server:
        llm = f"local:base_url={server.url}"
        done = call("summarise", verdict, "--llm", llm, "--dry-run")
        named = call("summarise", verdict, "--llm", llm, "--dry-run", "--allow-paths")
        assert server.asked == []
        call("summarise", verdict, "--llm", llm)
        assert json.loads(done.stdout)["body"] == server.asked[0].body
    assert ".wav" not in done.stdout
    assert ".wav" in named.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--llm", "gemin:model=m"], "did you mean 'gemini'"),
        (["--llm", "gemini"], "gemini.model must name one of its models"),
        (["--llm", "local", "--llm-limits", "token=5"], "did you mean 'tokens'"),
        (["--llm", "local", "--llm-limits", "money=5"], "money needs input_price"),
    ],
)
def test_what_cannot_be_asked(verdict: Path, words: list[str], message: str) -> None:
    done = call("summarise", verdict, *words)
    assert isinstance(done.exception, SpecError)
    assert message in str(done.exception)


@pytest.fixture
def toy_arena(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Toy clips, and a formula in place of training."""
    monkeypatch.setattr(Clips, "load", lambda *_, **__: clips_of("abcdefghijkl" * 20))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path_factory.mktemp("own"))
    Path("data").mkdir()
    monkeypatch.setattr(
        "otoscope.redteam.Arena",
        lambda splits, network, seed, view, held, **_: Hill(in_view=view, held_out=held, seed=seed),
    )


SEARCH = ("redteam", "data", "--i-own-this-data", "--budget", 12, "--retrained", 4, "--decided", 1)


@pytest.mark.usefixtures("toy_arena")
def test_the_red_team_asks_a_language_model(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with serving(said("chat", "I cannot help with that.")) as server:
        llm = ("--strategy", "llm", "--llm", f"local:base_url={server.url}")
        done = call(*SEARCH, *llm, "--llm-limits", "queries=10", "--keep", kept)
        assert len(server.asked) == 10
    assert "asked local: 10 queries, 180 tokens" in done.stdout
    told = json.loads((kept / "findings.json").read_text())["language_model"]
    assert told["replies"] | {"refused": 10, "over the caps": 2} == told["replies"]
    assert told["spent"]["queries"] == 10


@pytest.mark.usefixtures("toy_arena")
def test_the_red_teams_dry_run_shows_the_payload() -> None:
    with serving(said("chat", "{}")) as server:
        llm = ("--strategy", "llm", "--llm", f"local:base_url={server.url}")
        plan = json.loads(call(*SEARCH, *llm, "--dry-run").stdout)
        assert server.asked == []
        call(*SEARCH, *llm)
        assert plan["payload"]["body"] == server.asked[0].body


@pytest.mark.usefixtures("toy_arena")
@pytest.mark.parametrize(
    "words", [["--strategy", "llm"], ["--strategy", "random", "--llm", "local"]]
)
def test_strategy_and_model_go_together(words: list[str]) -> None:
    done = call(*SEARCH, *words)
    assert isinstance(done.exception, SpecError)
    assert "--strategy llm --llm SERVICE:model=MODEL" in str(done.exception)
