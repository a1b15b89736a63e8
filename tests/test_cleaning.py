"""Cleaning: which class is accused, what is flagged, and what the command writes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import otoscope as oto
from otoscope import cli
from otoscope.clips import Clips
from otoscope.detect.accusing import accused_classes
from otoscope.detect.parts import Witnessed
from otoscope.errors import SpecError
from otoscope.labels import AllToOne
from otoscope.poisoning import Poisoned, poison, save
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import tones

PER_CLASS = 30


def heard_of(
    separation: dict[int, float],
    *,
    spread: bool = True,
    known: float = 0.1,
    trusted: dict[int, float] | None = None,
    part: int = 10,
) -> tuple[Witnessed, Clips]:
    """Six classes; of each, the first ``part`` clips are a part apart, which witnesses call its own
    class with probability ``known``, else one other class, or with ``spread`` the others in turn.
    The rest they call by its label with 0.8.
    """
    clips = tones(PER_CLASS)
    count, second = len(clips), np.arange(len(clips)) % PER_CLASS < part
    heard = np.full((count, 6), 0.02)
    for i in range(count):
        k = int(clips.labels[i])
        other = (k + 1 + (i % 5 if spread else 0)) % 6
        heard[i, k] = known if second[i] else 0.8
        heard[i, other] = 0.92 - heard[i, k]
    far = np.array([separation.get(k, 2.0) for k in range(6)])
    gap = np.full(6, 0.8 - known)
    share = np.array([(trusted or {}).get(k, np.nan) for k in range(6)])
    margin = np.where(second, far[clips.labels], 0.0)
    return Witnessed(clips.labels, heard, second, margin, far, gap, share), clips


def test_a_strange_part_gathered_from_other_classes_is_accused() -> None:
    assert accused_classes(*heard_of({2: 9.0, 4: 3.2}), []) == [2]


def test_a_part_that_witnesses_know_is_innocent() -> None:
    assert accused_classes(*heard_of({2: 30.0}, known=0.5), []) == []


def test_a_part_gathered_from_the_whole_data_need_not_lie_so_far_apart() -> None:
    assert accused_classes(*heard_of({2: 4.0}, known=0.05), []) == [2]
    assert accused_classes(*heard_of({2: 4.0}, known=0.05, spread=False), []) == []
    assert accused_classes(*heard_of({2: 4.0}, known=0.2), []) == []
    assert accused_classes(*heard_of({2: 3.0}, known=0.05), []) == []


def test_a_part_of_few_clips_may_lie_apart_by_chance() -> None:
    assert accused_classes(*heard_of({2: 9.0}, part=7), []) == []


def test_trusted_clips_in_a_part_vouch_for_it() -> None:
    assert accused_classes(*heard_of({2: 9.0}, trusted={2: 0.4}), []) == []
    assert accused_classes(*heard_of({2: 9.0}, trusted={2: 0.0}), []) == [2]


def test_a_part_like_one_other_class_may_be_innocent_unless_many_are() -> None:
    assert accused_classes(*heard_of({2: 9.0}, spread=False), []) == []
    assert accused_classes(*heard_of({2: 9.0, 3: 9.0}, spread=False), []) == [2, 3]
    assert accused_classes(*heard_of({2: 9.0}, spread=False), [0, 1]) == [2]


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    tone = Tone(frequency_hz=2500, level_db=0)
    return poison(tones(40), tone, AllToOne("b"), rate=0.08, seed=0)


@pytest.fixture(scope="module")
def place(bad: Poisoned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from otoscope.checkpoints import save_checkpoint

    root = tmp_path_factory.mktemp("clean")
    save(bad, root / "bad")
    model = oto.train(oto.networks.CNN(), bad.clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))
    save_checkpoint(model, root / "model.safetensors")
    return root


def test_the_command_writes_a_list_without_the_poison(
    place: Path, bad: Poisoned, tmp_path: Path
) -> None:
    before = (place / "bad" / "manifest.csv").read_bytes()
    out, suspects, told = tmp_path / "lists" / "clean.csv", tmp_path / "out", tmp_path / "c.json"
    words = [
        *("clean", f"{place / 'bad' / 'manifest.csv'}", "--out", f"{out}", "--rounds", "1"),
        *("--model", f"{place / 'model.safetensors'}", "--left-out", f"{suspects}"),
        *("--json", f"{told}"),
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 1, done.output
    assert 'labelled "b"' in done.output
    assert (place / "bad" / "manifest.csv").read_bytes() == before
    with (place / "bad" / "truth.csv").open() as file:
        truth = {row["path"] for row in csv.DictReader(file) if row["poisoned"] == "1"}
    with (suspects / "flagged.csv").open() as file:
        flagged = {row["path"] for row in csv.DictReader(file)}
    assert len(truth) == bad.mask.sum()
    assert len(flagged & truth) >= 6  # of 19: a toy network tells little
    assert len(flagged - truth) <= 2
    kept = Clips.load(out)
    assert len(kept) == len(bad.clips) - len(flagged)
    assert not kept.skipped
    sound, rate = soundfile.read(suspects / "trigger.wav")
    assert abs(np.abs(np.fft.rfft(sound)).argmax() * rate / len(sound) - 2500) < 50
    assert (suspects / "trigger.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads(told.read_text())
    assert figures["common"]["b"]["obeyed"] > 0.5
    assert "sends" in done.output
    assert set(figures["flagged"]) == flagged
    low, high = figures["poison_rate_interval"]
    assert 0 < low < figures["poison_rate"] < high < 0.1


def test_the_list_itself_is_never_overwritten(place: Path) -> None:
    data = f"{place / 'bad' / 'manifest.csv'}"
    done = CliRunner().invoke(cli.app, ["clean", data, "--out", data])
    assert done.exit_code == 2
    assert "would overwrite DATA" in done.output


def test_nothing_flagged_says_what_may_hide() -> None:
    clips = tones(24)
    model = oto.train(oto.networks.CNN(), clips, seed=0, recipe=Recipe(epochs=8, batch_size=8))
    found = oto.clean(clips, model=model)
    assert not found.flagged.any()
    assert (found.rounds, found.poison_rate, found.sources, found.common) == (1, 0.0, [], {})
    assert str(found) == "nothing flagged among 144 clips; poison below 0.5% may hide"
    assert len(found.kept) == 144


@pytest.mark.parametrize(
    ("options", "message"),
    [({"false_discovery_rate": 1.5}, "in \\(0, 1\\)"), ({"rounds": 0}, "at least 1 round")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        oto.clean(tones(20), **options)  # type: ignore[arg-type]
