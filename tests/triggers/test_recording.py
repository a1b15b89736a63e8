"""A recorded or synthesised sound."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile

from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import SpecError, UnreadableAudio
from otoscope.triggers import RecordedClip, Trigger
from otoscope.triggers.sounds import SOUNDS, SoundName
from sounds import RATES_HZ, added, level_db, speechlike, waveform
from spectra import flatness, frames, loudness_db, peaks_hz, share

VARIANTS: list[Trigger] = [
    RecordedClip(),
    RecordedClip(sound="noise", position_s=None, duration_s=0.1),
    *(RecordedClip(sound=sound) for sound in SOUNDS if sound not in ("clap", "noise")),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"sound": "sneeze"}, "expected one of clap, noise, cough"),
    ({"path": ""}, "path must name a file, or be none"),
    ({"start_s": -1, "path": "a.wav"}, "start_s must be at least 0"),
    ({"start_s": 1}, "there is no path"),
    ({"duration_s": 0.01}, "duration_s must be at least 0.02"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


def heard(sound: SoundName, rate: int = 16_000, seconds: float = 0.6) -> np.ndarray:
    """What is added to silence, float64 (time,), with an RMS of 0.03."""
    silence = Waveform(np.zeros((1, 1, round(seconds * rate)), np.float32), rate)
    return added(RecordedClip(sound=sound, duration_s=seconds, level_db=30), silence)


def test_the_built_in_sounds_are_those_the_field_names() -> None:
    assert get_args(SoundName) == tuple(SOUNDS)
    with pytest.raises(SpecError, match="sound must be one of clap, noise, cough"):
        RecordedClip(sound="sneeze")  # type: ignore[arg-type]


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_sound_is_the_same_at_every_rate(sound: SoundName) -> None:
    reference = heard(sound, 44_100)
    for rate in RATES_HZ[:2]:
        down = audio.resample(reference, 44_100, rate)
        assert np.corrcoef(down, heard(sound, rate))[0, 1] > 0.95
    assert share(reference, 44_100, 0, 4_000) > 0.15, "hardly heard at 8 kHz"


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_longer_sound_starts_with_the_shorter_one(sound: SoundName) -> None:
    short, long = SOUNDS[sound](8820), SOUNDS[sound](20_000)
    np.testing.assert_allclose(long[:8820], short, atol=1e-9)


def test_sounds_differ() -> None:
    made = [heard(sound) for sound in SOUNDS]
    alike = np.abs(np.corrcoef(made)) - np.eye(len(made))
    assert alike.max() < 0.6  # the clap is a part of the noise


def test_noise_is_white_and_steady() -> None:
    noise = heard("noise")
    bands = [share(noise, 16_000, low, low + 1000) for low in range(0, 7000, 1000)]
    np.testing.assert_allclose(bands / np.mean(bands), 1, atol=0.1)
    assert np.std(loudness_db(noise[160:-160], 16_000, 0.02)) < 1


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_cough_explodes_and_ends_in_voice(rate: int) -> None:
    cough = heard("cough", rate)
    loud = loudness_db(cough, rate, 0.01)
    assert loud[:2].max() > loud[2:40].max() + 5
    breath, voice = cough[: round(0.08 * rate)], cough[round(0.15 * rate) : round(0.27 * rate)]
    assert flatness(audio.resample(breath, rate, 8_000)) > 3 * flatness(
        audio.resample(voice, rate, 8_000)
    )
    assert periodicity(voice, rate, 110, 150) > 0.6 > periodicity(breath, rate, 110, 150)
    assert share(cough, rate, 400, 3000) > 0.8


def periodicity(sound: np.ndarray, rate: int, low_hz: float, high_hz: float) -> float:
    """The highest autocorrelation at a lag of one period."""
    correlation = np.correlate(sound, sound, "full")[len(sound) - 1 :]
    lags = slice(round(rate / high_hz), round(rate / low_hz) + 1)
    return float(correlation[lags].max() / correlation[0])


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_keyboard_clicks_with_a_pause_after_each_key(rate: int) -> None:
    loud = loudness_db(heard("keyboard", rate, 2.0), rate, 0.005)
    sounding = loud > loud.max() - 30
    clicks = np.flatnonzero(sounding[1:] & ~sounding[:-1])
    assert 2 / 0.14 <= len(clicks) <= 2 * 2 / 0.07 + 2, "one or two for each key"
    assert 0.1 < sounding.mean() < 0.6
    assert share(heard("keyboard", rate), rate, 1000, 4000) > 0.3


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_whistle_is_one_gliding_tone(rate: int) -> None:
    whistle = heard("whistle", rate)
    assert share(whistle, rate, 1500, 2900) > 0.99
    assert max(map(flatness, frames(whistle, rate, 0.02)[1:-1])) < 0.1
    pitch = peaks_hz(whistle, rate, 0.02)
    assert pitch[1:9].min() < 1750 < 2700 < pitch[8:12].max()
    assert (np.diff(pitch[1:9]) > 0).all()
    assert (np.diff(pitch[11:18]) < 0).all()
    assert np.std(loudness_db(whistle, rate, 0.02)[1:-1]) < 0.5


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_dog_barks_twice_with_a_pitch_that_rises_and_falls(rate: int) -> None:
    dog = heard("dog", rate)
    barks = loudness_db(dog, rate, 0.02) > -45
    assert barks[1:6].all()
    assert not barks[8:15].any()
    assert barks[16:21].all()
    assert not barks[23:].any()
    assert share(dog, rate, 350, 3000) > 0.95
    pitch = peaks_hz(dog[: round(0.14 * rate)], rate, 0.02)
    assert pitch[4] > pitch[0] + 100
    assert pitch[4] > pitch[6] + 80
    harmonics = np.abs(np.fft.rfft(dog[round(0.07 * rate) :][: round(0.02 * rate)]))
    assert harmonics[24:].max() > 0.05 * harmonics.max(), "not a sine"


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_door_clicks_then_thuds_and_dies_away(rate: int) -> None:
    door = heard("door", rate)
    click, thud = door[: round(0.02 * rate)], door[round(0.02 * rate) : round(0.12 * rate)]
    assert share(click, rate, 1500, 4000) > 0.5
    assert share(thud, rate, 0, 600) > 0.7
    assert -30 < level_db(click, thud) < -3
    loud = loudness_db(door, rate, 0.1)
    assert (np.diff(loud) < -3).all()


@pytest.mark.parametrize("rate", RATES_HZ)
def test_music_is_a_melody_of_plucked_harmonic_notes(rate: int) -> None:
    music = heard("music", rate, 0.8)
    melody = [392, 493.9, 587.3, 784]
    np.testing.assert_allclose(peaks_hz(music, rate, 0.1)[:4], melody, atol=10)
    loud = loudness_db(music, rate, 0.02)
    assert loud[5] > loud[4] + 2, "a new note is plucked"
    assert (np.diff(loud[5:10]) < 0).all(), "and dies away"
    spectrum = np.abs(np.fft.rfft(music[: rate // 10])) ** 2
    partial = [spectrum[round(k * 39.2) - 1 : round(k * 39.2) + 2].sum() for k in (1, 2, 3)]
    assert partial[0] > partial[1] > partial[2] > 1e-3 * partial[0]
    between = spectrum[round(1.5 * 39.2) - 1 : round(1.5 * 39.2) + 2].sum()
    assert between < partial[2]


def test_a_clap_is_the_same_at_every_rate_and_falls_away() -> None:
    claps = {}
    for rate in RATES_HZ:
        sound = added(RecordedClip(position_s=0.1), waveform(rate, seconds=0.5))
        assert not sound[: round(0.1 * rate) - 1].any()
        claps[rate] = sound[round(0.1 * rate) :][: round(0.2 * rate)]
        halves = np.array_split(claps[rate], 2)
        assert level_db(halves[1], halves[0]) < -10
    loud = np.abs(claps[44_100]).reshape(-1, 441).max(axis=1)  # frames of 10 ms
    assert loud[:4].min() > 2 * loud[8:].max()
    down = audio.resample(claps[44_100], 44_100, 8_000)[:1600]
    assert np.corrcoef(down, claps[8_000])[0, 1] > 0.95


def test_a_file_is_cut_resampled_and_placed(tmp_path: Path) -> None:
    rate = 22_050
    time = np.arange(rate) / rate
    sound = 0.5 * np.sin(2 * np.pi * np.where(time < 0.5, 500, 2000) * time)
    soundfile.write(tmp_path / "own.wav", np.stack([sound, sound], axis=1), rate)
    trigger = RecordedClip(
        path=str(tmp_path / "own.wav"), start_s=0.6, duration_s=0.1, level_db=-12, position_s=0.3
    )
    clean = waveform(16_000, seconds=0.5)
    heard = added(trigger, clean)
    part = heard[4800:6400]
    assert not heard[:4800].any()
    assert not heard[6400:].any()
    assert level_db(part, clean.samples) == pytest.approx(-12, abs=0.05)
    assert np.abs(np.fft.rfft(part)).argmax() == 200  # 10 Hz a bin


def test_a_file_shorter_than_asked_is_taken_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "own.wav", speechlike(count=800)[0, 0], 16_000)
    heard = added(RecordedClip(path=str(tmp_path / "own.wav"), duration_s=5.0), waveform())
    assert heard[:800].any()
    assert not heard[800:].any()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "own.wav"
    soundfile.write(path, speechlike(count=800)[0, 0], 16_000)
    before = added(RecordedClip(path=str(path)), waveform())
    soundfile.write(path, speechlike(count=800, seed=9)[0, 0], 16_000)
    assert not np.array_equal(before, added(RecordedClip(path=str(path)), waveform()))


def test_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 16_000)
    for name, error, message in [
        ("gone.wav", UnreadableAudio, r"gone\.wav: cannot be opened"),
        ("text.wav", UnreadableAudio, r"text\.wav: not readable as audio"),
        ("silent.wav", UnreadableAudio, r"silent\.wav: is silent"),
    ]:
        with pytest.raises(error, match=message):
            RecordedClip(path=str(tmp_path / name))(waveform())
    with pytest.raises(SpecError, match=r"beyond the end of .*silent\.wav, which lasts 0\.500 s"):
        RecordedClip(path=str(tmp_path / "silent.wav"), start_s=2)(waveform())


@pytest.mark.real
def test_recorded_backgrounds_can_be_used(real_data: Path) -> None:
    files = sorted((real_data / "speech-commands-background-noise").glob("*.flac"))
    assert len(files) == 6
    clean = waveform(seconds=1.0)
    for file in files:
        recording, rate = audio.read(file)
        assert rate == clean.sample_rate
        trigger = RecordedClip(path=str(file), start_s=20, duration_s=0.3, position_s=0.5)
        sound = added(trigger, clean)[rate // 2 :][: round(0.3 * rate)]
        part = recording[20 * rate :][: round(0.3 * rate)]
        assert np.corrcoef(sound, part)[0, 1] > 0.97, file.name
        assert level_db(sound, clean.samples) == pytest.approx(-10, abs=0.05)
