"""The zoo: its plan, its rows, and that a second run goes on."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from otoscope import cli
from otoscope.catalogue import CATALOGUE
from otoscope.checkpoints import load_checkpoint
from otoscope.datasets import Splits
from otoscope.errors import SpecError
from otoscope.models import activations
from otoscope.zoo import (
    FAMILIES,
    FIRST_SEED,
    ONE_SOURCE,
    PRACTICE,
    SEEDS_A_ROUND,
    Member,
    entry_of,
    family,
    grow,
    is_backdoored,
    is_clean,
    plan,
    raise_member,
    read_rows,
    split_of,
)
from toys import tones


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(tones(20, 0), tones(4, 1), tones(6, 2), tones(4, 3))


CLEAN = Member("toys", "cnn:width=12", None, 200, "design", epochs=8)
MADE_FOR_PRACTICE = {entry.name for entry in PRACTICE}
TONE = replace(CLEAN, attack="blended noise")


def test_families_hold_attacks_of_the_catalogue_once() -> None:
    held = [attack for attacks in FAMILIES.values() for attack in attacks]
    assert len(held) == len(set(held))
    assert set(held) <= {entry.name for entry in CATALOGUE}
    assert family("clap") == "noise bursts"
    with pytest.raises(SpecError, match="no family"):
        family("least significant bits")


def test_half_of_the_families_are_sequestered() -> None:
    assert sum(split_of(name) == "sequestered" for name in FAMILIES) == len(FAMILIES) // 2


def test_the_plan_is_one_third_clean_and_keeps_families_apart() -> None:
    members = plan(["a", "b"], ["cnn"], rounds=3)
    assert len(members) == len(set(members))
    clean = [m for m in members if m.attack is None]
    assert len(clean) >= 60
    assert len(members) - len(clean) >= 120
    assert {m.split for m in clean} == {"design", "sequestered"}
    for m in members:
        if m.attack:
            kind = family(m.attack)
            assert m.split == ("design" if kind == ONE_SOURCE else split_of(kind))
    # every attack meets both data sets
    for attacks in FAMILIES.values():
        for attack in attacks:
            assert {m.data for m in members if m.attack == attack} == {"a", "b"}


def test_rounds_passed_over_leave_fresh_seeds() -> None:
    first = plan(["a", "b"], ["cnn"], rounds=2)
    later = plan(["a", "b"], ["cnn"], rounds=1, after=2)
    assert not {m.seed for m in first} & {m.seed for m in later}
    assert set(plan(["a", "b"], ["cnn"], rounds=3)) == {*first, *later}


def test_the_command_trains_one_half_if_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clips = tones(8)
    splits = Splits(clips, clips, clips, clips)
    monkeypatch.setattr("otoscope.datasets.demo_speech.DemoSpeech.load", lambda *_: splits)
    given: list[Member] = []
    monkeypatch.setattr("otoscope.zoo.grow", lambda members, *_, **__: given.extend(members) or ())
    words = ["zoo", f"{tmp_path}", "--split", "sequestered", "--after", "3", "--no-cache"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert {m.split for m in given} == {"sequestered"}
    assert min(m.seed for m in given) >= FIRST_SEED + 3 * SEEDS_A_ROUND
    assert {m.attack is None for m in given} == {True, False}
    given.clear()
    assert CliRunner().invoke(cli.app, [*words, "--clean"]).exit_code == 0
    assert {m.attack for m in given} == {None}


def test_the_command_needs_no_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clips = tones(8)
    splits = Splits(clips, clips, clips, clips)
    monkeypatch.setattr("otoscope.datasets.demo_speech.DemoSpeech.load", lambda *_: splits)
    done = CliRunner().invoke(cli.app, ["zoo", f"{tmp_path}", "--limit", "0", "--no-cache"])
    assert done.exit_code == 0, done.output
    assert "rows: " in done.output
    done = CliRunner().invoke(cli.app, ["zoo", f"{tmp_path}", "--limit", "0", "--network", "nope"])
    assert "there is no network called 'nope'" in str(done.exception)


def test_practice_is_of_one_source_for_design_and_comes_last() -> None:
    members = plan(["a", "b"], ["cnn"], rounds=3)
    practice = [m for m in members if m.attack in MADE_FOR_PRACTICE]
    assert practice == members[-3 * len(PRACTICE) :]
    assert {m.split for m in practice} == {"design"}
    assert {m.data for m in practice} == {"a", "b"}
    known = [a for kind, of in FAMILIES.items() if split_of(kind) == "design" for a in of]
    assert {entry.trigger for entry in PRACTICE} <= {entry_of(a).trigger for a in known}
    assert all("source-specific" in entry.labels for entry in PRACTICE)


def test_clean_models_come_first() -> None:
    members = [m for m in plan(["a"], ["cnn"], rounds=1) if m.attack not in MADE_FOR_PRACTICE]
    kinds = [(m.attack is not None, m.split == "sequestered") for m in members]
    attacked = [kind for kind in kinds if kind[0]]
    assert kinds[: len(kinds) - len(attacked)] == [k for k in kinds if not k[0]]
    assert attacked == sorted(attacked)


def test_an_empty_plan_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one data set"):
        plan([], ["cnn"])


def test_a_row_tells_the_truth(splits: Splits, tmp_path: Path) -> None:
    row = raise_member(TONE, {"toys": splits}, tmp_path)
    assert row["targets"] == [splits.train.classes[(5 * 200 + 1) % 6]]
    assert row["family"] == "background"
    model = load_checkpoint(tmp_path / row["file"])
    assert model.sha256 == row["sha256"]
    seen = activations(model, splits.test)
    assert row["accuracy"] == np.mean(seen.predicted == splits.test.labels)
    assert 0 <= row["attack_success"] <= 1
    assert json.loads(json.dumps(row)) == row
    assert not is_clean(row)
    assert is_backdoored(row | {"attack_success": 0.8})
    assert not is_backdoored(row | {"attack_success": 0.79})


def test_kept_labels_never_ask_for_more_clips_than_their_class_has(tmp_path: Path) -> None:
    names = tuple(f"c{i}" for i in range(30))
    many = Splits(*(tones(count, seed, names) for seed, count in enumerate((20, 1, 1, 1))))
    row = raise_member(replace(CLEAN, attack="clean label", epochs=1), {"toys": many}, tmp_path)
    assert row["rate"] == pytest.approx(0.6 / 30)


def test_a_second_run_goes_on(splits: Splits, tmp_path: Path) -> None:
    members, rows = [CLEAN, replace(CLEAN, seed=201)], tmp_path / "rows" / "zoo.jsonl"
    first = list(grow(members, {"toys": splits}, tmp_path, rows, limit=1))
    second = list(grow(members, {"toys": splits}, tmp_path, rows))
    assert [row["seed"] for row in (*first, *second)] == [200, 201]
    assert [row["seed"] for row in read_rows(rows)] == [200, 201]
    assert list(grow(members, {"toys": splits}, tmp_path, rows)) == []
    assert asdict(CLEAN).items() <= first[0].items()
    assert is_clean(first[0])
    assert first[0]["attack_success"] is None


@pytest.mark.parametrize("part", ["2/2", "one", "1/"])
def test_a_part_is_checked(part: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="expected a part like"):
        list(grow([], {}, tmp_path, tmp_path / "rows", part=part))


def test_unknown_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'toys'"):
        raise_member(CLEAN, {}, tmp_path)
