"""Data sets: disjoint splits, the synthetic voices, and the local loaders."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from conftest import WriteSine
from otoscope import audio, datasets
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.datasets import DATASETS, TEN_COMMANDS, Splits
from otoscope.datasets.espeak import ACCENTS, SAMPLE_RATE, VARIANTS, Utterance, speak
from otoscope.errors import AudioError, ManifestError, MissingExtra, SpecError
from otoscope.registry import build, spec

PARTS = ("train", "validation", "test", "trusted")


def parts(splits: Splits) -> dict[str, Clips]:
    return {name: getattr(splits, name) for name in PARTS}


def shared(splits: Splits, what: str) -> set[tuple[str, str, str]]:
    """Every value of ``what`` that two parts have in common, with their names."""
    held = {name: {getattr(c, what) for c in clips} for name, clips in parts(splits).items()}
    return {(a, b, v) for a in PARTS for b in PARTS if a < b for v in held[a] & held[b]}


@pytest.fixture(scope="module")
def spoken(cache: Cache) -> Splits:
    pytest.importorskip("espeakng_loader")
    return datasets.demo(seed=3, speakers=4, cache=cache)


@pytest.mark.parametrize(
    "dataset",
    [
        datasets.DemoSpeech(seed=2, speakers=8),
        datasets.SpeechCommands("folder", ("yes", "no"), 1),
        datasets.ArabicSpeechCommands("folder", 4),
        datasets.ArabicSpeakers("folder"),
        datasets.LibriSpeechSpeakers("folder", 3.0),
    ],
)
def test_a_data_set_is_built_from_its_spec(dataset: datasets.Dataset) -> None:
    assert build(DATASETS, spec(dataset)) == dataset
    assert DATASETS[dataset.name] is type(dataset)


def test_demo_voices_are_in_one_split_each(spoken: Splits) -> None:
    assert shared(spoken, "speaker") == set()
    assert {name: len(clips) for name, clips in parts(spoken).items()} == {
        "train": 50,
        "validation": 50,
        "test": 50,
        "trusted": 50,
    }
    for clips in parts(spoken).values():
        assert clips.classes == tuple(sorted(TEN_COMMANDS))
        assert set(np.bincount(clips.labels)) == {len(clips) // 10}
        assert clips.skipped == ()


def test_demo_clips_are_sound_and_all_differ(spoken: Splits) -> None:
    for clips in parts(spoken).values():
        assert (clips.sample_rate, clips.length) == (16_000, 16_000)
        samples = clips.waveforms(range(len(clips)))[:, 0]
        peaks = 20 * np.log10(np.abs(samples).max(axis=1))
        assert peaks.min() > -18.1
        assert peaks.max() < -2.9
        assert audio.rms(samples).min() > 0.002
        power = np.square(np.abs(np.fft.rfft(samples))).sum(axis=0)
        voiced = power[80:4000].sum() / power.sum()
        assert voiced > 0.8, "speech has most of its power from 80 Hz to 4 kHz"
        quietest = np.sort(audio.rms(samples.reshape(len(clips), 50, 320)), axis=1)[:, 0]
        assert quietest.min() > 0, "there is noise around the word"
    every = [clip.sha256 for clips in parts(spoken).values() for clip in clips]
    assert len(set(every)) == len(every)


def test_demo_follows_from_the_seed(spoken: Splits, tmp_path: Path) -> None:
    again = datasets.demo(seed=3, speakers=4, cache=Cache(tmp_path))
    other = datasets.demo(seed=4, speakers=4, cache=Cache(tmp_path))
    for name, clips in parts(spoken).items():
        assert parts(again)[name].sha256 == clips.sha256
        assert parts(other)[name].sha256 != clips.sha256


def test_demo_is_made_once_and_mended_when_a_file_is_gone(
    spoken: Splits, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cache.root, tmp_path, dirs_exist_ok=True)
    with monkeypatch.context() as without_speech:
        without_speech.setattr("otoscope.datasets.demo_speech.speak", None)
        loaded = datasets.demo(seed=3, speakers=4, cache=Cache(tmp_path))
    assert loaded.train.sha256 == spoken.train.sha256
    (loaded.train.root / loaded.train[0].path).unlink()
    mended = datasets.demo(seed=3, speakers=4, cache=Cache(tmp_path))
    assert mended.train.sha256 == spoken.train.sha256


def test_demo_uses_the_users_cache_by_default(
    spoken: Splits, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTOSCOPE_CACHE", str(cache.root))
    monkeypatch.setattr("otoscope.datasets.demo_speech.speak", None)
    assert datasets.demo(seed=3, speakers=4).test.sha256 == spoken.test.sha256


def test_interrupted_synthesis_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(utterances: Sequence[Utterance]):
        yield np.ones(8000, dtype=np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr("otoscope.datasets.demo_speech.speak", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datasets.demo(cache=Cache(tmp_path))
    assert list((tmp_path / "datasets").iterdir()) == []


def test_demo_without_its_extra_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[demo\]'"):
        datasets.demo(cache=Cache(tmp_path))


@pytest.mark.parametrize("speakers", [3, len(VARIANTS) + 1])
def test_demo_refuses_too_few_and_too_many_speakers(speakers: int) -> None:
    with pytest.raises(SpecError, match=f"4 .* to {len(VARIANTS)} .* got {speakers}"):
        datasets.DemoSpeech(speakers=speakers)


def test_every_timbre_and_accent_is_its_own() -> None:
    loader = pytest.importorskip("espeakng_loader")
    timbres = {file.name for file in (Path(loader.get_data_path()) / "voices" / "!v").iterdir()}
    assert set(VARIANTS) <= timbres  # espeak-ng itself does not mind one that it does not know
    voices = [f"en-us+{variant}" for variant in VARIANTS] + list(ACCENTS)
    sounds = speak([Utterance(voice, "right", 150, 50, 50) for voice in voices])
    spectra = []
    for sound in sounds:
        assert 0.1 < len(sound) / SAMPLE_RATE < 1.2
        spectra.append(np.abs(np.fft.rfft(sound, 32_768)))
    unit = np.array([spectrum / np.linalg.norm(spectrum) for spectrum in spectra])
    alike = unit @ unit.T - np.eye(len(unit))
    assert alike.max() < 0.999


def test_espeak_that_stops_early_is_reported() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(AudioError, match=r"'yes' as 'xx' \(espeak-ng has no voice 'xx'\)"):
        list(speak([Utterance("xx", "yes", 150, 50, 50)]))


@pytest.fixture
def words(tmp_path: Path, write_sine: WriteSine) -> Path:
    """A tiny Google Speech Commands: three words, eight speakers."""
    lists: dict[str, list[str]] = {"validation_list.txt": [], "testing_list.txt": []}
    for k, word in enumerate(("yes", "no", "tree")):
        for speaker in range(8):
            name = f"{word}/{speaker:08x}_nohash_0.wav"
            write_sine(name, 300 + 100 * k + speaker)
            if speaker >= 4:
                lists["testing_list.txt" if speaker == 7 else "validation_list.txt"].append(name)
    write_sine("_background_noise_/hum.wav")
    for name, lines in lists.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_speech_commands_keeps_the_official_splits_and_the_words(words: Path) -> None:
    splits = datasets.speech_commands(words, ("yes", "no"))
    assert {name: len(clips) for name, clips in parts(splits).items()} == {
        "train": 8,
        "validation": 4,
        "test": 2,
        "trusted": 2,
    }
    assert {clips.classes for clips in parts(splits).values()} == {("no", "yes")}
    assert shared(splits, "path") == set()
    assert {(a, b) for a, b, _ in shared(splits, "speaker")} <= {("trusted", "validation")}
    assert datasets.speech_commands(words).train.classes == ("no", "tree", "yes")


def test_trusted_clips_follow_from_the_seed(words: Path) -> None:
    drawn = [datasets.speech_commands(words, seed=seed).trusted.sha256 for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_speech_commands_says_what_is_missing(words: Path) -> None:
    with pytest.raises(SpecError, match="no word 'yess'; did you mean 'yes'"):
        datasets.speech_commands(words, ("yess",))
    (words / "testing_list.txt").unlink()
    with pytest.raises(ManifestError, match=r"testing_list\.txt beside the word folders"):
        datasets.speech_commands(words)


@pytest.fixture
def commands(tmp_path: Path, write_sine: WriteSine) -> Path:
    """A tiny Arabic Speech Commands: two commands, three speakers, ten takes."""
    for speaker, name in enumerate(("train", "val", "test")):
        lines = ["path,label,speaker"]
        for command in ("ok", "no"):
            for take in range(1, 11):
                path = f"{command}/{speaker:08}_NO_{take:02}.wav"
                write_sine(path, 300 + 10 * take + 100 * speaker)
                lines.append(f"{path},{command},{speaker:08}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    return tmp_path


def test_arabic_commands_share_no_speaker_with_training(commands: Path) -> None:
    splits = datasets.arabic_speech_commands(commands)
    assert [len(clips) for clips in parts(splits).values()] == [20, 10, 20, 10]
    assert splits.train.classes == ("no", "ok")
    assert shared(splits, "speaker") == {("trusted", "validation", "00000001")}
    assert shared(splits, "path") == set()


def test_arabic_speakers_split_by_take(commands: Path) -> None:
    splits = datasets.arabic_speakers(commands)
    assert splits.train.classes == ("00000000", "00000001", "00000002")
    takes = {name: sorted({c.path[-6:-4] for c in clips}) for name, clips in parts(splits).items()}
    assert takes == {
        "train": ["01", "02", "03", "04", "05", "06"],
        "validation": ["07"],
        "trusted": ["08"],
        "test": ["09", "10"],
    }
    assert all(clip.label == clip.speaker for clip in splits.test)


def test_arabic_speakers_need_the_take_in_the_name(commands: Path) -> None:
    with (commands / "val.csv").open("a") as lines:
        lines.write("\nok/somebody.wav,ok,7\n")
    with pytest.raises(ManifestError, match=r"ok/somebody\.wav: expected a name like"):
        datasets.arabic_speakers(commands)


def test_librispeech_windows_never_cross_splits(tmp_path: Path, write_sine: WriteSine) -> None:
    for speaker in ("19", "26"):
        for number in range(10):
            write_sine(f"{speaker}/7/{speaker}-7-{number:04}.flac", 200 + number, seconds=0.5)
    splits = datasets.librispeech_speakers(tmp_path, duration_s=0.2)
    assert [len(clips) for clips in parts(splits).values()] == [36, 6, 12, 6]
    assert splits.train.classes == ("19", "26")
    assert splits.train.length == 3200
    assert shared(splits, "path") == set()


def test_librispeech_needs_an_utterance_for_each_split(
    tmp_path: Path, write_sine: WriteSine
) -> None:
    for number in range(3):
        write_sine(f"19/{number}.flac")
    with pytest.raises(ManifestError, match="speaker '19' has 3 utterances; expected 4 or more"):
        datasets.librispeech_speakers(tmp_path)
    with pytest.raises(SpecError, match="duration_s must be above 0"):
        datasets.LibriSpeechSpeakers("x", 0)


@pytest.mark.real
def test_real_arabic_commands(real_data: Path) -> None:
    splits = datasets.arabic_speech_commands(real_data / "arabic-speech-commands-12")
    assert [len(clips) for clips in parts(splits).values()] == [2160, 600, 720, 120]
    assert len(splits.train.classes) == 12
    assert len({clip.speaker for clip in splits.train}) == 18
    assert splits.train.skipped == ()


@pytest.mark.real
def test_real_arabic_speakers(real_data: Path) -> None:
    splits = datasets.arabic_speakers(real_data / "arabic-speech-commands-12")
    assert [len(clips) for clips in parts(splits).values()] == [2160, 360, 720, 360]
    assert len(splits.train.classes) == 30


@pytest.mark.real
def test_real_librispeech_speakers(real_data: Path) -> None:
    splits = datasets.librispeech_speakers(real_data / "librispeech-10-speakers")
    assert len(splits.train.classes) == 10
    assert all(np.bincount(clips.labels).min() >= 1 for clips in parts(splits).values())
    assert shared(splits, "path") == set()
