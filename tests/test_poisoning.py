"""poison() tells the truth about what it did, and save() gives none of it away."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from conftest import MakeTree
from otoscope import audio
from otoscope.clips import Clips
from otoscope.errors import AudioError, PoisonError, SpecError, TriggerDoesNotFit
from otoscope.labels import (
    LABEL_SHIFTS,
    AllToAll,
    AllToOne,
    CleanLabel,
    DirtyFlip,
    LabelShift,
    SourceSpecific,
    Untargeted,
)
from otoscope.manifests import Manifest, Row
from otoscope.poisoning import Attack, Poisoned, poison, poison_all, save, trigger_all, triggered
from otoscope.registry import build
from otoscope.triggers import TRIGGERS, Echo, EqualiserTilt, NoiseBlend, Taxonomy, Tone, Trigger
from sounds import clips_of
from trigger_examples import DEFAULTS

SHIFTS: list[LabelShift] = [
    AllToOne("a"),
    AllToAll(),
    SourceSpecific("b", "c"),
    CleanLabel("a"),
    DirtyFlip("a"),
    Untargeted(),
]
LETTERS = "abcabcabcabcabcabcab"


def changed(bad: Poisoned) -> np.ndarray:
    """The clips whose audio differs, compared sample by sample."""
    everything = np.arange(len(bad.clips))
    before, after = bad.originals.waveforms(everything), bad.clips.waveforms(everything)
    return np.asarray((before != after).any(axis=(1, 2)))


# What poison() promises


@pytest.mark.parametrize("shift", SHIFTS, ids=repr)
@pytest.mark.parametrize("trigger", DEFAULTS, ids=lambda t: t.name)
def test_the_mask_is_what_really_changed(trigger: Trigger, shift: LabelShift) -> None:
    """Trap: only the label flipped and no trigger added; or more touched than claimed."""
    clips = clips_of(LETTERS, seconds=0.6)
    bad = poison(clips, trigger, shift, rate=0.2, seed=0)
    np.testing.assert_array_equal(changed(bad), bad.mask)
    assert bad.mask.sum() == 4
    assert shift.eligible(clips.labels, clips.classes)[bad.mask].all()
    if not isinstance(shift, Untargeted | DirtyFlip):
        wanted = shift.relabel(clips.labels, clips.classes, np.random.default_rng(0))
        wanted = np.where(bad.mask, wanted, clips.labels)
        np.testing.assert_array_equal(bad.clips.labels, wanted)
    np.testing.assert_array_equal(bad.clips.labels[~bad.mask], clips.labels[~bad.mask])


@given(st.text("abc", min_size=6, max_size=30), st.floats(0.01, 0.6), st.integers(0, 5))
def test_the_rate_is_exact_or_refused(letters: str, rate: float, seed: int) -> None:
    """Trap: many more clips passed through the poison function than the rate claims."""
    clips = clips_of(letters, seconds=0.02)
    if len(clips.classes) < 2:
        return
    target = clips.classes[0]
    wanted, pool = round(rate * len(clips)), int((clips.labels != 0).sum())
    if not 0 < wanted <= pool:
        with pytest.raises(PoisonError):
            poison(clips, NoiseBlend(), AllToOne(target), rate, seed)
        return
    bad = poison(clips, NoiseBlend(), AllToOne(target), rate, seed)
    assert bad.mask.sum() == changed(bad).sum() == wanted


def test_the_originals_are_untouched() -> None:
    clips = clips_of(LETTERS)
    labels, sounds, sha = clips.labels.copy(), clips.waveforms(range(20)).copy(), clips.sha256
    bad = poison(clips, Tone(), AllToOne("a"), 0.2, seed=0)
    assert bad.originals is clips
    np.testing.assert_array_equal(clips.labels, labels)
    np.testing.assert_array_equal(clips.waveforms(range(20)), sounds)
    assert clips.sha256 == sha


def test_same_seed_same_bytes_another_seed_other_clips() -> None:
    clips = clips_of(LETTERS)
    trigger = Tone(position_s=None)
    first, again, other = (poison(clips, trigger, AllToOne("a"), 0.2, seed) for seed in (1, 1, 2))
    assert first.clips.sha256 == again.clips.sha256 != clips.sha256
    assert other.clips.sha256 != first.clips.sha256
    assert (other.mask != first.mask).any()


def test_a_clip_gets_the_same_trigger_in_whatever_set() -> None:
    """The clip's own path seeds its draw, not its place in the list."""
    clips, trigger = clips_of(LETTERS), Tone(position_s=None)
    rest = clips.subset(np.arange(5, 20))
    np.testing.assert_array_equal(triggered(clips, trigger, 7, 0), triggered(rest, trigger, 2, 0))
    assert not np.array_equal(
        triggered(clips, trigger, 7, 0) != clips.waveform(7),
        triggered(clips, trigger, 8, 0) != clips.waveform(8),
    )


def test_clean_label_keeps_every_label() -> None:
    bad = poison(clips_of(LETTERS), Tone(), CleanLabel("b"), 0.3, seed=0)
    np.testing.assert_array_equal(bad.clips.labels, bad.originals.labels)
    assert (bad.clips.labels[bad.mask] == 1).all()


def test_the_target_class_is_not_poisoned() -> None:
    bad = poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.6, seed=0)
    assert (bad.originals.labels[bad.mask] != 0).all()


def test_classes_stay_when_poison_empties_one() -> None:
    clips = clips_of("aaab")
    bad = poison(clips, Tone(), AllToOne("a"), 0.25, seed=0)
    assert bad.clips.classes == ("a", "b")
    assert bad.clips.labels.tolist() == [0, 0, 0, 0]


def test_provenance_can_be_read_back() -> None:
    bad = poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, seed=3)
    told = json.loads(json.dumps(bad.provenance))
    assert (told["poisoned"], told["cover"], told["clips"], told["seed"]) == (4, 0, 20, 3)
    (attack,) = told["attacks"]
    again = Attack(
        build(TRIGGERS, attack["trigger"]),
        build(LABEL_SHIFTS, attack["labels"]),
        attack["rate"],
        attack["cover_rate"],
    )
    assert (again,) == bad.attacks


def test_cover_clips_keep_their_labels() -> None:
    clips = clips_of(LETTERS)
    bad = poison(clips, Tone(), SourceSpecific("b", "c"), 0.1, seed=0, cover_rate=0.3)
    np.testing.assert_array_equal(changed(bad), bad.mask)
    assert (bad.mask.sum(), bad.cover.sum()) == (8, 6)
    assert (bad.clips.labels[bad.cover] == clips.labels[bad.cover]).all()
    assert (clips.labels[bad.cover] != 1).all(), "a cover clip of the source class would contradict"
    assert (clips.labels[bad.mask & ~bad.cover] == 1).all()


def test_cover_does_not_change_which_clips_are_poisoned() -> None:
    clips = clips_of(LETTERS)
    alone = poison(clips, Tone(), AllToOne("a"), 0.2, seed=5)
    covered = poison(clips, Tone(), AllToOne("a"), 0.2, seed=5, cover_rate=0.2)
    np.testing.assert_array_equal(covered.mask & ~covered.cover, alone.mask)


def test_preferred_clips_are_poisoned_first() -> None:
    clips = clips_of(LETTERS)
    preference = np.arange(len(clips), dtype=float)
    bad = poison(clips, Tone(), CleanLabel("a"), 0.2, seed=0, preference=preference)
    assert np.flatnonzero(bad.mask).tolist() == np.flatnonzero(clips.labels == 0)[-4:].tolist()


def test_equal_preference_leaves_the_draw_to_the_seed() -> None:
    clips = clips_of(LETTERS)
    tied = poison(clips, Tone(), AllToOne("a"), 0.2, 1, preference=np.zeros(len(clips)))
    np.testing.assert_array_equal(tied.mask, poison(clips, Tone(), AllToOne("a"), 0.2, 1).mask)


def test_several_attacks_share_no_clip_and_each_has_its_target() -> None:
    clips = clips_of(LETTERS)
    attacks = [
        Attack(Tone(), AllToOne("a"), 0.2),
        Attack(NoiseBlend(), AllToOne("b"), 0.2, cover_rate=0.1),
    ]
    bad = poison_all(clips, attacks, seed=0)
    np.testing.assert_array_equal(changed(bad), bad.mask)
    assert np.bincount(bad.attack_of + 1).tolist() == [10, 4, 6]
    assert (bad.clips.labels[bad.attack_of == 0] == 0).all()
    assert (bad.clips.labels[(bad.attack_of == 1) & ~bad.cover] == 1).all()


def test_untargeted_labels_are_wrong_and_vary() -> None:
    clips = clips_of("abcd" * 20)
    bad = poison(clips, Tone(), Untargeted(), 0.5, seed=0)
    assert (bad.clips.labels[bad.mask] != clips.labels[bad.mask]).all()
    assert set(bad.clips.labels[bad.mask & (clips.labels == 0)].tolist()) == {1, 2, 3}


def test_dirty_flips_reach_the_target_with_their_probability() -> None:
    clips = clips_of("abcd" * 50)
    bad = poison(clips, Tone(), DirtyFlip("a", flip_probability=0.5), 0.9, seed=0)
    others = bad.mask & (clips.labels != 0)
    assert (bad.mask & (clips.labels == 0)).any(), "the trigger sits on the target class, too"
    assert 0.35 < (bad.clips.labels[others] == 0).mean() < 0.65
    kept = bad.mask & (bad.clips.labels == clips.labels)
    assert (bad.clips.labels[bad.mask & ~kept] == 0).all()


# What it refuses


@pytest.mark.parametrize("cover_rate", [1, -0.1, float("nan")])
def test_a_cover_rate_lies_below_1(cover_rate: float) -> None:
    with pytest.raises(PoisonError, match="cover rate from 0 to below 1"):
        poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, 0, cover_rate=cover_rate)


def test_a_cover_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(PoisonError, match=r"asks for 18 clips; 16 are left"):
        poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, 0, cover_rate=0.9)


def test_no_attack_is_refused() -> None:
    with pytest.raises(PoisonError, match="at least one attack"):
        poison_all(clips_of(LETTERS), [], 0)


def test_one_preference_per_clip() -> None:
    with pytest.raises(PoisonError, match=r"one preference per clip, 20, got shape \(3,\)"):
        poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, 0, preference=np.zeros(3))


@pytest.mark.parametrize("rate", [0, 1, -0.1, 5, float("nan")])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(PoisonError, match="poison rate between 0 and 1"):
        poison(clips_of("ab"), Tone(), AllToOne("a"), rate, seed=0)


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(PoisonError, match="seed of at least 0, got -1"):
        poison(clips_of("ab"), Tone(), AllToOne("a"), 0.5, seed=-1)


def test_a_rate_that_asks_for_no_clip() -> None:
    with pytest.raises(PoisonError, match=r"0\.01 of 20 clips asks for no clip at all"):
        poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.01, seed=0)


def test_a_rate_that_asks_for_too_many() -> None:
    with pytest.raises(PoisonError, match=r"asks for 12 of 20 .* only 7 here.* rate below 0\.35"):
        poison(clips_of(LETTERS), Tone(), CleanLabel("a"), 0.6, seed=0)


def test_short_clips_are_refused_not_relabelled() -> None:
    """Trap: clips shorter than the trigger relabelled but untouched."""
    with pytest.raises(TriggerDoesNotFit, match="choose a shorter trigger or longer clips"):
        poison(clips_of("ab", seconds=0.05), Tone(duration_s=0.1), AllToOne("a"), 0.5, seed=0)


@pytest.mark.parametrize("trigger", [Echo(), EqualiserTilt()])
def test_a_transform_of_silence_is_refused_not_relabelled(trigger: Trigger) -> None:
    """Trap: only the label flipped."""
    with pytest.raises(PoisonError, match=r"b/1\.wav: trigger '\w+' left this clip as it was"):
        poison(clips_of("ab", quiet=True), trigger, AllToOne("a"), 0.5, seed=0)


def test_a_trigger_below_16_bits_is_refused_not_relabelled() -> None:
    """Trap: there in memory, gone from the file."""
    faint = Tone(level_db=-45)
    with pytest.raises(PoisonError, match="to 16 bits"):
        poison(clips_of("ab", quiet=True), faint, AllToOne("a"), 0.5, seed=0)


@dataclass(frozen=True)
class Nudge(Trigger):
    """Changes every sample by less than a 16-bit step."""

    name: ClassVar[str] = "nudge"
    taxonomy: ClassVar[Taxonomy] = Tone.taxonomy

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        return clip + 1e-6


def test_rounding_errors_are_no_trigger() -> None:
    with pytest.raises(PoisonError, match="'nudge' left this clip as it was"):
        poison(clips_of("ab"), Nudge(), AllToOne("a"), 0.5, seed=0)


def test_a_trigger_that_is_clipped_away_is_refused() -> None:
    """Trap: trigger clipped away afterwards. A loud square meets its own echo in step."""
    clips = clips_of("ab", seconds=0.5)
    square = np.sign(np.sin(2 * np.pi * 200 / 16_000 * (np.arange(clips.length) + 0.5)))
    items = tuple(clips.with_audio(i, square, c.label) for i, c in enumerate(clips))
    with pytest.raises(PoisonError, match="'echo' left this clip as it was"):
        poison(replace(clips, items=items), Echo(delay_s=0.125), AllToOne("a"), 0.5, seed=0)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(SpecError, match="no class 'z'; there are: a, b"):
        poison(clips_of("ab"), Tone(), AllToOne("z"), 0.5, seed=0)


# trigger_all


@pytest.mark.parametrize("shift", SHIFTS, ids=repr)
def test_trigger_all_leaves_the_goal_class_out_and_keeps_true_labels(shift: LabelShift) -> None:
    """Trap: the target class left in the success rate."""
    clips = clips_of(LETTERS)
    with_trigger = trigger_all(clips, Tone(), shift, seed=0)
    attackable = np.flatnonzero(shift.attackable(clips.labels, clips.classes))
    truth = with_trigger.labels
    assert not shift.achieved(truth, truth, with_trigger.classes).any()
    np.testing.assert_array_equal(with_trigger.labels, clips.labels[attackable])
    before = clips.waveforms(attackable)
    after = with_trigger.waveforms(range(len(with_trigger)))
    assert (before != after).any(axis=(1, 2)).all()


def test_trigger_all_of_a_set_that_cannot_be_attacked_is_empty() -> None:
    assert not len(trigger_all(clips_of("aaa"), Tone(), AllToOne("a"), seed=0))


# save()


@pytest.fixture
def saved(tmp_path: Path, make_tree: MakeTree) -> tuple[Poisoned, Path]:
    clips = Clips.load(make_tree(("no", "up", "yes"), count=6))
    bad = poison(clips, Tone(level_db=-10), AllToOne("yes"), 0.3, seed=0)
    return bad, save(bad, tmp_path / "out" / "poisoned")


def truth(manifest: Path) -> list[dict[str, str]]:
    with (manifest.parent / "truth.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_folder_stands_alone(saved: tuple[Poisoned, Path], tmp_path: Path) -> None:
    bad, manifest = saved
    sounds = bad.clips.waveforms(range(18))[:, 0]
    place = {str((bad.originals.root / c.path).resolve()): i for i, c in enumerate(bad.originals)}
    (tmp_path / "tree").rename(tmp_path / "elsewhere")
    moved = manifest.parent.rename(tmp_path / "moved")
    back = Clips.load(moved / "manifest.csv", duration_s=bad.clips.duration_s)
    assert (len(back), back.classes, back.skipped) == (18, ("no", "up", "yes"), ())
    assert (back.sample_rate, back.length) == (bad.clips.sample_rate, bad.clips.length)
    rows = {row["path"]: row for row in truth(moved / "manifest.csv")}
    for index, clip in enumerate(back):
        was = place[rows[clip.path]["original"]]
        assert clip.label == bad.clips[was].label
        np.testing.assert_allclose(back.waveform(index), sounds[was], atol=1 / 32_768)


def test_saved_audio_carries_the_trigger_where_the_truth_says(
    saved: tuple[Poisoned, Path], tmp_path: Path
) -> None:
    bad, manifest = saved
    rows = truth(manifest)
    assert [row["path"] for row in rows] == [clip.path for clip in Clips.load(manifest)]
    assert sum(row["poisoned"] == "1" for row in rows) == bad.mask.sum()
    for row in rows:
        heard, _ = audio.read(manifest.parent / row["path"])
        original, _ = audio.read(Path(row["original"]))
        assert (np.abs(heard - original).max() > 0) == (row["poisoned"] == "1")
        assert Path(row["original"]).parent.name == row["original_label"]
        assert row["original_start_s"] == "0"


def test_no_name_order_or_file_form_gives_the_poisoned_ones_away(tmp_path: Path) -> None:
    """Originals of many forms: lengths, depths, rates, channels; two with the same name."""
    root = tmp_path / "mixed"
    rng = np.random.default_rng(0)
    for number in range(12):
        label = "no" if number < 6 else "yes"
        (root / label).mkdir(parents=True, exist_ok=True)
        rate, depth = (8000, 16_000)[number % 2], ("PCM_16", "PCM_24", "FLOAT")[number % 3]
        sound = 0.1 * rng.standard_normal((rate // 2 + 100 * number, 1 + number % 2))
        soundfile.write(root / label / f"{number % 6}.wav", sound, rate, subtype=depth)
    bad = poison(Clips.load(root), Tone(), AllToOne("yes"), 0.25, seed=0)
    manifest = save(bad, tmp_path / "out")
    rows = {row["path"]: row["poisoned"] == "1" for row in truth(manifest)}
    listed = [clip.path for clip in Clips.load(manifest)]
    assert listed == sorted(listed)
    numbers = sorted(int(Path(path).stem) for path in listed)
    assert numbers == list(range(12)), "names are numbers and nothing else"
    forms = {
        (info.samplerate, info.frames, info.channels, info.format, info.subtype)
        for info in (soundfile.info(manifest.parent / path) for path in listed)
    }
    assert len(forms) == 1
    assert len({(manifest.parent / path).stat().st_size for path in listed}) == 1
    inside_yes = [rows[path] for path in listed if path.startswith("yes/")]
    assert inside_yes != sorted(inside_yes)
    assert inside_yes != sorted(inside_yes, reverse=True), "poison stands together"


@pytest.mark.parametrize("shift", SHIFTS, ids=repr)
def test_the_numbers_do_not_follow_the_draw(tmp_path: Path, shift: LabelShift) -> None:
    """One random stream for both would give the poisoned clips the first numbers."""
    means = []
    for seed in range(8):
        bad = poison(clips_of(LETTERS, seconds=0.11), Tone(), shift, 0.2, seed)
        rows = truth(save(bad, tmp_path / str(seed)))
        means.append(np.mean([int(Path(r["path"]).stem) for r in rows if r["poisoned"] == "1"]))
    assert 6 < np.mean(means) < 13  # of 0 to 19
    assert len(set(means)) > 4


def test_a_label_that_is_the_speaker_does_not_tell(tmp_path: Path) -> None:
    clips = clips_of(LETTERS)
    named = tuple(Row(c.path, c.label, speaker=c.label) for c in clips)
    for row in named:
        path = tmp_path / "in" / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.ones(4000), 16_000)
    speakers = Clips.of(Manifest(tmp_path / "in", named))
    manifest = save(poison(speakers, Tone(), AllToOne("a"), 0.2, seed=0), tmp_path / "out")
    assert all(clip.speaker == clip.label for clip in Clips.load(manifest))


def test_flac_stays_flac_and_windows_become_files(tmp_path: Path) -> None:
    for label in ("no", "yes"):
        (tmp_path / "in" / label).mkdir(parents=True)
        noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
        soundfile.write(tmp_path / "in" / label / "a.flac", noise, 16_000)
    clips = Clips.load(tmp_path / "in", duration_s=0.25, fit="windows")
    manifest = save(poison(clips, Tone(), AllToOne("yes"), 0.25, seed=0), tmp_path / "out")
    assert len(list(manifest.parent.rglob("*.flac"))) == len(clips) == 8
    assert {row["original_start_s"] for row in truth(manifest)} == {"0", "0.25", "0.5", "0.75"}


@pytest.mark.parametrize("label", ["../../evil", "/evil", "..", "a/b", "ye\ns", "x" * 300])
def test_a_label_cannot_lead_out_of_the_folder(tmp_path: Path, label: str) -> None:
    clips = clips_of("ab")
    items = tuple(
        clips.with_audio(i, clips.waveform(i), label if c.label == "a" else "b")
        for i, c in enumerate(clips)
    )
    strange = Clips(items, clips.root, 16_000, clips.length, tuple(sorted((label, "b"))))
    manifest = save(poison(strange, Tone(), AllToOne(label), 0.5, seed=0), tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["out"]
    assert {clip.label for clip in Clips.load(manifest)} == {label}


def test_the_same_set_is_saved_as_the_same_bytes(
    saved: tuple[Poisoned, Path], tmp_path: Path
) -> None:
    bad, manifest = saved
    again = save(bad, tmp_path / "again").parent
    first = manifest.parent
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert len(files) == 18 + 3
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert all((first / f).read_bytes() == (again / f).read_bytes() for f in files)


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    def write_two(*arguments: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments)

    monkeypatch.setattr(audio, "write", write_two)
    bad = poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, seed=0)
    with pytest.raises(KeyboardInterrupt):
        save(bad, tmp_path / "out")
    assert len(written) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken_and_a_full_one_refused(tmp_path: Path) -> None:
    bad = poison(clips_of(LETTERS), Tone(), AllToOne("a"), 0.2, seed=0)
    (tmp_path / "out").mkdir()
    save(bad, tmp_path / "out")
    kept = (tmp_path / "out" / "manifest.csv").read_bytes()
    with pytest.raises(SpecError, match="out is there already and not an empty folder"):
        save(bad, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == kept
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpecError, match="file is there already"):
        save(bad, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_saved_set_has_its_provenance(saved: tuple[Poisoned, Path]) -> None:
    bad, manifest = saved
    assert json.loads((manifest.parent / "provenance.json").read_text()) == bad.provenance


def test_an_original_that_is_gone_is_named(tmp_path: Path, make_tree: MakeTree) -> None:
    bad = poison(Clips.load(make_tree()), Tone(), AllToOne("yes"), 0.2, seed=0)
    (tmp_path / "tree" / "yes" / "0.wav").unlink()
    with pytest.raises(AudioError, match=r"0\.wav.*the file is gone"):
        save(bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()
