"""The red team's commands: whose data, what is printed, what is kept."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from conftest import WriteSine
from otoscope import cli
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.detect import DEFAULT, OF_A_DELIVERED_MODEL
from otoscope.errors import ManifestError, SpecError
from otoscope.manifests import Row, write_csv
from otoscope.redteam import Space
from redteam_toys import CLIPS, FAMILIES, Hill
from sounds import clips_of
from toys import tones

Call = Callable[..., Result]


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Call:
    """Call a command on toy clips, with a formula in place of training."""
    monkeypatch.setattr(Clips, "load", lambda *_, **__: clips_of("abcdefghijkl" * 20))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path_factory.mktemp("own"))
    Path("data").mkdir()

    def arena(
        splits: object,
        network: object,
        seed: int,
        view: tuple[str, ...],
        held: tuple[str, ...],
        *,
        hides: bool,
        **_: object,
    ) -> Hill:
        space = Space.of(CLIPS, seed=0, families=FAMILIES, hides=hides)
        return Hill(space, in_view=view, held_out=held, seed=seed, hides=hides)

    monkeypatch.setattr("otoscope.redteam.Arena", arena)

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli.app, [*words], env={"COLUMNS": "200"})

    return call


COMMON = ("--budget", "60", "--retrained", "12", "--decided", "2", "--strategy", "random")


def test_somebody_elses_data_are_not_touched(called: Call) -> None:
    for command in ("redteam", "harden"):
        done = called(command, "data")
        assert isinstance(done.exception, SpecError)
        assert "--i-own-this-data" in str(done.exception)


def test_a_search_tells_what_was_found_and_keeps_no_model(called: Call, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = called("redteam", "data", *COMMON, "--i-own-this-data", "--keep", str(kept))
    assert "60 attacks screened" in done.output
    assert "2 decided" in done.output
    found = json.loads((kept / "findings.json").read_text())
    assert found["owned"] is True
    assert len(found["decided"]) == 2
    assert done.exit_code == int(any(one["evades"] for one in found["decided"]))
    lines = (kept / "log.jsonl").read_text().splitlines()
    assert len(lines) == 60
    assert set(json.loads(lines[0])) == {
        "bins",
        "reward",
        "success",
        "accuracy",
        "evaded",
        "detail",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept"], "the temporary folder is gone"
    assert {p.suffix for p in kept.iterdir()} == {".json", ".jsonl"}


def test_a_dry_run_tries_nothing(called: Call) -> None:
    done = called("redteam", "data", *COMMON, "--i-own-this-data", "--dry-run")
    plan = json.loads(done.output)
    assert plan["budget"] == {"screened": 60, "retrained": 12, "decided": 2, "seeds": 3}
    assert "tone" in plan["grid"]["slots"]
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("options", "spent"),
    [
        (("--budget", "200"), (200, 20, 3)),
        (("--budget", "12"), (12, 1, 1)),
        (("--budget", "12", "--retrained", "4"), (12, 4, 3)),
        (("--budget", "12", "--decided", "2"), (12, 2, 2)),
    ],
)
def test_what_is_not_given_of_a_budget_follows(
    called: Call, options: tuple[str, ...], spent: tuple[int, ...]
) -> None:
    done = called("redteam", "data", *options, "--i-own-this-data", "--dry-run")
    assert tuple(json.loads(done.output)["budget"].values())[:3] == spent


def test_a_white_box_attacker_trains_the_model(called: Call) -> None:
    options = ("--i-own-this-data", "--dry-run", "--access", "white-box")
    plan = json.loads(called("redteam", "data", *COMMON, *options).output)
    assert plan["access"] == "white-box"
    assert plan["grid"]["hiding"][0] == 0


def test_hardening_tells_its_rounds(
    called: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "otoscope.redteam.hardening._clean",
        lambda _, names, __, count: [dict.fromkeys(names, 0.0)] * count,
    )
    options = ("--detector", "strip", "--detector", "vouching", "--rounds", "2")
    kept = ("--keep", f"{tmp_path / 'kept'}")
    done = called("harden", "data", *COMMON, *options, *kept, "--i-own-this-data")
    assert "round 1:" in done.output
    assert "round 2:" in done.output
    assert "evade audit, 0 false alarms on 3 clean models" in done.output
    told = json.loads((tmp_path / "kept" / "rounds.json").read_text())
    assert told["owned"]
    assert [one["number"] for one in told["rounds"]] == [0, 1]


def test_hardening_chooses_among_what_an_audit_runs(
    called: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def harden(_: object, __: str, ___: object, names: tuple[str, ...], **____: object) -> object:
        asked.append(names)
        raise SpecError("enough")

    monkeypatch.setattr("otoscope.redteam.hardening.harden", harden)
    called("harden", "data", *COMMON, "--i-own-this-data")
    assert asked == [(*DEFAULT, *OF_A_DELIVERED_MODEL)]


def test_an_unknown_access_is_refused(called: Call) -> None:
    done = called("redteam", "data", "--access", "all", "--i-own-this-data")
    assert "expected --access to be one of blind, hard-label, scores, white-box, got 'all'" in str(
        done.exception
    )


@pytest.mark.parametrize("command", ["redteam", "harden"])
def test_both_have_help_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"})
    assert f"Example: otoscope {command}" in shown.output


def test_splits_are_drawn_class_by_class_and_share_no_clip() -> None:
    clips = tones(40)
    parts = Splits.drawn(clips, 3)
    named = [
        {clip.path for clip in part.items}
        for part in (parts.train, parts.validation, parts.test, parts.trusted)
    ]
    assert [len(paths) for paths in named] == [26 * 6, 4 * 6, 8 * 6, 2 * 6]
    assert len(set.union(*named)) == 240
    assert set(np.bincount(parts.trusted.labels).tolist()) == {2}
    assert [c.path for c in Splits.drawn(clips, 4).test] != [c.path for c in parts.test]
    with pytest.raises(ManifestError, match=r"class 'a' has 19 clips .* needs 20"):
        Splits.drawn(tones(19), 0)


def test_a_manifests_own_splits_are_kept(write_sine: WriteSine, tmp_path: Path) -> None:
    rows = [
        Row(write_sine(f"{label}{part}.wav").name, label, "", part)
        for label in "ab"
        for part in ("train", "validation", "test", "trusted")
    ]
    write_csv(tmp_path / "list.csv", rows)
    parts = Splits.drawn(Clips.load(tmp_path / "list.csv"), 0)
    assert [clip.path for clip in parts.test] == ["atest.wav", "btest.wav"]
