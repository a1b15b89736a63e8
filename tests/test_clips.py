"""Clips: what is kept, what is skipped with its reason, and how clips get one length and rate."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import otoscope.clips
from conftest import MakeTree, WriteSine, sine
from otoscope import audio
from otoscope.cache import digest
from otoscope.clips import Clips
from otoscope.errors import AudioError, ManifestError, TrainingError, UnreadableAudio
from otoscope.manifests import Row, write_csv
from toys import tones


def reasons(clips: Clips) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in clips.skipped}


def test_a_folder_loads_with_numbered_labels(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 3))
    assert clips.classes == ("no", "yes")
    assert clips.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert (clips.sample_rate, clips.length, clips.duration_s) == (16_000, 3200, 0.2)
    assert clips.skipped == ()
    np.testing.assert_allclose(clips.waveform(3), sine(500, 0.2), atol=1e-4)


def test_waveforms_and_batches_come_in_order(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 3))
    one_by_one = np.stack([clips.waveform(i)[None] for i in range(6)])
    np.testing.assert_array_equal(clips.waveforms([5, 0]), one_by_one[[5, 0]])
    batches = list(clips.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    np.testing.assert_array_equal(np.concatenate(batches), one_by_one)


def break_empty(path: Path) -> None:
    path.write_bytes(b"")


def break_truncated(path: Path) -> None:
    soundfile.write(path, sine(440, 1), 16_000)
    path.write_bytes(path.read_bytes()[:3000])


def break_nan(path: Path) -> None:
    soundfile.write(path.with_suffix(".wav"), np.full(100, np.nan), 16_000, subtype="FLOAT")
    path.with_suffix(".wav").rename(path)


def break_no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16_000, format="WAV")


def break_not_audio(path: Path) -> None:
    path.write_text("hello")


def break_too_short(path: Path) -> None:
    soundfile.write(path, np.zeros(2), 192_000)


def break_gone(path: Path) -> None:
    path.unlink()


def break_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (break_empty, "is empty (0 bytes)"),
        (break_truncated, "not readable as audio"),
        (break_nan, "holds NaN or infinite samples"),
        (break_no_samples, "holds no samples"),
        (break_not_audio, "not readable as audio"),
        (break_too_short, "is shorter than one sample at 16000 Hz"),
        (break_gone, "No such file or directory"),
        (break_folder, "Is a directory"),
    ],
)
def test_a_bad_file_is_skipped_with_its_reason_and_the_others_load(
    tmp_path: Path, write_sine: WriteSine, damage, reason: str
) -> None:
    names = ["good.flac", "bad.flac", "fine.flac"]
    for name in names:
        write_sine(name)
    write_csv(tmp_path / "list.csv", [Row(name, "yes") for name in names])
    damage(tmp_path / "bad.flac")
    clips = Clips.load(tmp_path / "list.csv")
    assert [clip.path for clip in clips] == ["good.flac", "fine.flac"]
    assert list(reasons(clips)) == ["bad.flac"]
    assert reason in reasons(clips)["bad.flac"]
    assert clips.waveforms(range(2)).shape == (2, 1, 3200)


def test_stereo_8_bit_and_192_khz_load_like_any_other(write_sine: WriteSine) -> None:
    write_sine("tree/x/plain.wav")
    write_sine("tree/x/stereo.wav", channels=2)
    write_sine("tree/x/coarse.wav", subtype="PCM_U8")
    tree = write_sine("tree/x/fast.wav", rate=192_000).parents[1]
    clips = Clips.load(tree)
    assert clips.skipped == ()
    assert clips.sample_rate == 16_000
    for samples in clips.waveforms(range(4)):
        np.testing.assert_allclose(samples[0, 200:-200], sine(440, 0.2)[200:-200], atol=0.01)


def test_missing_labels_and_duplicates_are_counted(tmp_path: Path, write_sine: WriteSine) -> None:
    write_sine("a.wav")
    write_sine("b.wav")
    (tmp_path / "list.csv").write_text("path,label\na.wav,yes\nb.wav,\na.wav,no\n")
    clips = Clips.load(tmp_path / "list.csv")
    assert [(clip.path, clip.label) for clip in clips] == [("a.wav", "yes")]
    assert reasons(clips) == {
        "b.wav": "has no label (list.csv:3)",
        "a.wav": "listed again with another label, 'no'; the first, 'yes', is kept",
    }


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav"])
def test_a_name_that_no_file_can_have_is_skipped(
    tmp_path: Path, write_sine: WriteSine, name: str
) -> None:
    write_sine("a.wav")
    write_csv(tmp_path / "list.csv", [Row("a.wav", "yes"), Row(name, "yes")])
    clips = Clips.load(tmp_path / "list.csv")
    assert [clip.path for clip in clips] == ["a.wav"]
    assert list(reasons(clips)) == [name]


def test_nothing_usable_names_the_first_reasons(make_tree: MakeTree) -> None:
    tree = make_tree(("no", "yes"), 2)
    for file in tree.rglob("*.wav"):
        file.write_bytes(b"")
    with pytest.raises(
        ManifestError, match=r"none of 4 recordings .*\n  no/0.wav: is empty \(0 bytes\)"
    ):
        Clips.load(tree)


def test_a_list_of_missing_files_is_called_by_its_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", [Row("gone.wav", "yes")])
    with pytest.raises(ManifestError, match=r"list.csv: none of 1 recordings"):
        Clips.load(tmp_path / "list.csv")


@pytest.mark.parametrize(("classes", "count"), [(("yes",), 9), (("no", "yes", "up"), 1)])
def test_one_class_and_three_clips_load_but_do_not_train(
    make_tree: MakeTree, classes: tuple[str, ...], count: int
) -> None:
    from otoscope.networks import CNN
    from otoscope.training import train

    clips = Clips.load(make_tree(classes, count))
    assert len(clips) == count * len(classes)
    with pytest.raises(TrainingError, match="at least 2 classes and 8 clips"):
        train(CNN(), clips, seed=0)


@pytest.fixture
def uneven(tmp_path: Path, write_sine: WriteSine) -> Path:
    """Ramps of 0.1, 0.25 and 0.4 s at 1 kHz: sample i of each is i / 1000."""
    for name, length in {"a": 100, "b": 250, "c": 400}.items():
        (tmp_path / "tree" / "x").mkdir(parents=True, exist_ok=True)
        ramp = np.arange(length, dtype=np.float32) / 1000
        soundfile.write(tmp_path / "tree" / "x" / f"{name}.wav", ramp, 1000, subtype="FLOAT")
    return tmp_path / "tree"


def thousandths(clips: Clips, index: int) -> list[int]:
    return np.round(clips.waveform(index) * 1000).astype(int).tolist()


def test_crop_keeps_the_middle_and_pads_the_end(uneven: Path) -> None:
    clips = Clips.load(uneven, duration_s=0.2)
    assert thousandths(clips, 0) == [*range(100), *[0] * 100]
    assert thousandths(clips, 1) == list(range(25, 225))
    assert thousandths(clips, 2) == list(range(100, 300))


def test_pad_takes_the_longest_and_refuses_a_duration(uneven: Path) -> None:
    clips = Clips.load(uneven, fit="pad")
    assert clips.length == 400
    assert thousandths(clips, 1) == [*range(250), *[0] * 150]
    with pytest.raises(ManifestError, match="leave duration_s out"):
        Clips.load(uneven, fit="pad", duration_s=1)


def test_windows_share_the_label_and_leave_a_last_piece_under_half(uneven: Path) -> None:
    clips = Clips.load(uneven, fit="windows", duration_s=0.1)
    assert [clip.path for clip in clips] == ["x/a.wav"] + ["x/b.wav"] * 3 + ["x/c.wav"] * 4
    assert thousandths(clips, 2) == list(range(100, 200))
    assert thousandths(clips, 3) == [*range(200, 250), *[0] * 50]  # half a window: kept
    shorter = Clips.load(uneven, fit="windows", duration_s=0.24)
    assert [clip.path for clip in shorter] == ["x/a.wav", "x/b.wav", "x/c.wav", "x/c.wav"]
    assert thousandths(shorter, 1) == list(range(240))


def test_without_a_duration_the_95th_percentile_is_taken(make_tree: MakeTree) -> None:
    tree = make_tree(("x",), 20)
    soundfile.write(tree / "x" / "long.wav", np.zeros(160_000), 16_000)
    assert Clips.load(tree).length == 3200


def test_offset_and_duration_bound_the_part_that_is_meant(uneven: Path) -> None:
    rows = [
        Row("c.wav", "x", start_s=0.1, duration_s=0.05),
        Row("c.wav", "x", start_s=0.39, duration_s=0.05),
        Row("c.wav", "x", start_s=0.4),
    ]
    write_csv(uneven / "x" / "list.csv", rows)
    clips = Clips.load(uneven / "x" / "list.csv", duration_s=0.05)
    assert thousandths(clips, 0) == list(range(100, 150))
    assert thousandths(clips, 1) == [*range(390, 400), *[0] * 40]
    assert reasons(clips) == {"c.wav": "its offset, 0.4 s, lies beyond its end"}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"fit": "stretch"}, "fit to be one of pad, crop, windows, got 'stretch'"),
        ({"duration_s": 0.0}, "duration_s above 0"),
        ({"sample_rate": -1}, "above 0 Hz"),
        ({"split": "tset"}, r"no recording has split 'tset'; there are: \(none\)"),
    ],
)
def test_a_wrong_argument_says_what_was_wanted(make_tree: MakeTree, form, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Clips.load(make_tree(), **form)


def test_the_most_common_rate_wins(write_sine: WriteSine) -> None:
    write_sine("tree/x/a.wav", rate=8000)
    write_sine("tree/x/b.wav", rate=8000)
    tree = write_sine("tree/x/c.wav", rate=48_000).parents[1]
    clips = Clips.load(tree)
    assert (clips.sample_rate, clips.length) == (8000, 1600)
    inside = slice(100, -100)  # the filter rings at both ends
    np.testing.assert_allclose(clips.waveform(2)[inside], clips.waveform(0)[inside], atol=1e-3)


def test_splits_load_alone_or_are_taken_from_the_whole(tmp_path: Path, make_tree: MakeTree) -> None:
    tree = make_tree(("no", "yes"), 2)
    rows = [Row(f"{c}/{i}.wav", c, split=s) for c in ("no", "yes") for i, s in enumerate("ab")]
    write_csv(tree / "list.csv", rows)
    whole = Clips.load(tree / "list.csv")
    assert whole.split("a").sha256 == Clips.load(tree / "list.csv", split="a").sha256
    with pytest.raises(ManifestError, match="no recording has split 'c'; there are: a, b"):
        whole.split("c")


def test_the_digest_changes_with_audio_label_rate_and_length_only(
    make_tree: MakeTree, write_sine: WriteSine
) -> None:
    tree = make_tree(("no", "yes"), 2)
    clips = Clips.load(tree)
    assert Clips.load(tree).sha256 == clips.sha256
    others = {
        Clips.load(tree, sample_rate=8000).sha256,
        Clips.load(tree, duration_s=0.1).sha256,
        clips.subset(np.array([0, 1, 2])).sha256,
    }
    (tree / "no" / "0.wav").rename(tree / "yes" / "00.wav")
    others.add(Clips.load(tree).sha256)
    (tree / "yes" / "00.wav").rename(tree / "no" / "0.wav")
    assert Clips.load(tree).sha256 == clips.sha256
    write_sine("tree/no/0.wav", 301)
    others.add(Clips.load(tree).sha256)
    assert len(others | {clips.sha256}) == 6


def test_subset_takes_indices_or_a_mask_and_keeps_the_classes(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 3))
    by_mask = clips.subset(clips.labels == 1)
    assert [clip.path for clip in by_mask] == ["yes/0.wav", "yes/1.wav", "yes/2.wav"]
    assert by_mask.classes == ("no", "yes")
    assert by_mask.labels.tolist() == [1, 1, 1]
    assert clips.subset(np.array([5, 0]))[0].path == "yes/2.wav"
    with pytest.raises(ManifestError, match="a mask of 6 entries, got 2"):
        clips.subset(np.array([True, False]))


def test_per_class_draws_by_seed(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 6))
    drawn = clips.per_class(2, seed=1)
    assert np.bincount(drawn.labels).tolist() == [2, 2]
    assert drawn.sha256 == clips.per_class(2, seed=1).sha256
    assert len({clips.per_class(2, seed=s).sha256 for s in range(8)}) > 1
    assert clips.per_class(99).sha256 == clips.sha256


def test_as_heard_by_changes_rate_length_and_order(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 1))
    held = clips.with_audio(0, clips.waveform(0), "no")
    mixed = Clips((held, clips[1]), clips.root, 16_000, 3200, clips.classes)
    heard = mixed.as_heard_by(8000, 2000, ("yes", "up", "no"))
    assert heard.labels.tolist() == [2, 0]
    assert heard.waveforms(range(2)).shape == (2, 1, 2000)
    expected = sine(300, 0.2, 8000)
    np.testing.assert_allclose(heard.waveform(0)[100:1500], expected[100:1500], atol=1e-3)
    assert not heard.waveform(0)[1600:].any()
    with pytest.raises(ManifestError, match="does not know: yes; the model knows: no"):
        clips.as_heard_by(16_000, 3200, ("no",))


def test_audio_held_in_memory_replaces_the_file(make_tree: MakeTree) -> None:
    clips = Clips.load(make_tree(("no", "yes"), 1))
    samples = sine(900, 0.2)
    clip = clips.with_audio(0, samples, "yes")
    assert (clip.label, clip.path) == ("yes", "no/0.wav")
    assert clip.sha256 != clips[0].sha256
    changed = Clips((clip,), clips.root, 16_000, 3200, clips.classes)
    np.testing.assert_array_equal(changed.waveform(0), samples)
    samples[:] = 0  # the clip holds its own copy
    assert changed.waveform(0).any()
    with pytest.raises(AudioError, match=r"expected 3200 finite samples, got shape \(5,\)"):
        clips.with_audio(0, np.zeros(5), "yes")


def test_a_file_that_vanishes_after_loading_is_named(make_tree: MakeTree) -> None:
    tree = make_tree()
    clips = Clips.load(tree)
    (tree / "no" / "0.wav").unlink()
    (tree / "no" / "1.wav").write_bytes(b"")
    with pytest.raises(UnreadableAudio, match=r"no/0\.wav: .* the file is gone; put the recording"):
        clips.waveform(0)
    with pytest.raises(UnreadableAudio, match=r"no/1\.wav: .* not readable as audio"):
        clips.waveforms([1])
    assert clips.waveform(2).any()


@pytest.mark.parametrize("relative", [False, True])
def test_joined_clips_are_found_in_either_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    roots = []
    monkeypatch.chdir(tmp_path)
    for number, pitch in enumerate((200.0, 400.0)):
        root = Path(f"list{number}") if relative else tmp_path / f"list{number}"
        for name in ("no", "yes"):
            (root / name).mkdir(parents=True)
            wave = np.sin(2 * np.pi * pitch * np.arange(800) / 8000).astype(np.float32)
            audio.write(root / name / "one.wav", 0.5 * wave, 8000)
        roots.append(Clips.load(root))
    both = roots[0].joined(roots[1])
    assert len(both) == 4
    assert both.labels.tolist() == [0, 1, 0, 1]
    for i in range(4):
        assert (both.waveform(i) == roots[i // 2].waveform(i % 2)).all()


def test_clips_of_another_form_are_not_joined() -> None:
    one = tones(2)
    with pytest.raises(ManifestError, match="as_heard_by"):
        one.joined(one.as_heard_by(4000, 1000, one.classes))


def test_a_clip_takes_little_memory(make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(("no", "yes"), 3)
    rows = [Row(f"{name}/{i}.wav", name, "somebody") for name in ("no", "yes") for i in range(3)]
    write_csv(tree / "list.csv", [*rows, Row("gone.wav", "no")])
    monkeypatch.setattr(otoscope.clips, "AT_ONCE", 2)  # futures of all files at once are heavier
    clips = Clips.load(tree / "list.csv")
    assert [clip.path for clip in clips.items] == [row.path for row in rows]
    assert reasons(clips) == {"gone.wav": "No such file or directory"}
    assert not hasattr(clips[0], "__dict__")
    assert clips[0].label is clips[1].label
    assert clips[0].speaker is clips[5].speaker
    assert clips[0].start_s is clips[1].start_s


def test_the_digest_of_many_clips_covers_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = tones(2)
    assert clips.sha256 == digest(
        [(c.sha256, c.start_s, c.duration_s, c.label) for c in clips.items],
        [clips.sample_rate, clips.length],
    )
    monkeypatch.setattr(otoscope.clips, "DIGESTED_AT_ONCE", 5)
    orders = [np.arange(12), np.arange(12)[::-1], np.arange(11), np.array([*range(11), 0])]
    assert len({clips.subset(some).sha256 for some in orders}) == 4
