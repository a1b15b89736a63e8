"""Reading, writing, resampling and measuring sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import WriteSine, sine
from otoscope import audio
from otoscope.errors import AudioError, UnreadableAudio


def frequency_of(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
def test_every_format_keeps_length_level_and_pitch(write_sine: WriteSine, ending: str) -> None:
    samples, rate = audio.read(write_sine(f"a.{ending}", 1000, seconds=1))
    assert samples.dtype == np.float32
    assert samples.shape == (16_000,)
    assert rate == 16_000
    assert audio.rms(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert frequency_of(samples, rate) == pytest.approx(1000, abs=2)


def test_bytes_read_as_the_file_does(write_sine: WriteSine) -> None:
    path = write_sine("a.flac")
    np.testing.assert_array_equal(audio.read(path.read_bytes())[0], audio.read(path)[0])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_every_depth_reads_within_its_own_precision(write_sine: WriteSine, subtype: str) -> None:
    samples, _ = audio.read(write_sine("a.wav", subtype=subtype))
    precision = 1 / 127 if subtype == "PCM_U8" else 1 / 32_000
    np.testing.assert_allclose(samples, sine(440, 0.2), atol=precision)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = sine(440, 0.1), sine(880, 0.1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    samples, _ = audio.read(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 192_000])
def test_resampling_keeps_level_frequency_and_duration(write_sine: WriteSine, rate: int) -> None:
    samples, new_rate = audio.read(write_sine("a.wav", 1000, seconds=1, rate=rate), 16_000)
    assert new_rate == 16_000
    assert len(samples) == pytest.approx(16_000, abs=1)
    middle = samples[1000:-1000]  # the filter rings at both ends
    assert audio.rms(middle) == pytest.approx(0.5 / np.sqrt(2), rel=0.002)
    assert frequency_of(samples, 16_000) == pytest.approx(1000, abs=2)


def test_resampling_lets_nothing_fold_back() -> None:
    heard = audio.resample(sine(12_000, 1, 48_000), 48_000, 16_000)
    assert audio.rms(heard[500:-500]) < 1e-4


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    samples = sine(440, 0.1)
    np.testing.assert_array_equal(audio.resample(samples, 16_000, 16_000), samples)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not readable as audio"), (b"no sound in here" * 50, "not readable as audio")],
)
def test_what_is_not_audio_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableAudio, match=reason):
        audio.read(content)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
def test_a_truncated_file_is_refused(write_sine: WriteSine, ending: str) -> None:
    path = write_sine(f"a.{ending}", seconds=1)
    content = path.read_bytes()
    with pytest.raises(UnreadableAudio, match=r"truncated|not readable as audio"):
        audio.read(content[: len(content) * 3 // 4])


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024])
def test_a_wav_written_into_a_pipe_is_not_called_truncated(
    write_sine: WriteSine, declared: int
) -> None:
    content = bytearray(write_sine("a.wav").read_bytes())
    content[40:44] = declared.to_bytes(4, "little")
    assert len(audio.read(bytes(content))[0]) == 3200


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    samples = sine(440, 0.1)
    samples[7] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(UnreadableAudio, match="NaN or infinite"):
        audio.read(tmp_path / "a.wav")


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(UnreadableAudio, match="holds no samples"):
        audio.read(tmp_path / "a.wav")


def test_too_short_to_resample_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.ones(2), 192_000)
    with pytest.raises(UnreadableAudio, match="too short"):
        audio.read(tmp_path / "a.wav", 16_000)


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_written_sound_reads_back(tmp_path: Path, ending: str) -> None:
    samples = sine(440, 0.1)
    audio.write(tmp_path / f"new/a{ending}", samples, 16_000)
    back, rate = audio.read(tmp_path / f"new/a{ending}")
    assert rate == 16_000
    np.testing.assert_allclose(back, samples, atol=1 / 32_000)


def test_writing_clips_instead_of_wrapping_around(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0], dtype=np.float32), 16_000)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], [1, -1, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "samples", "message"),
    [
        ("a.mp3", np.zeros(8), "expected the ending .wav or .flac"),
        ("a.wav", np.zeros((8, 2)), r"shaped \(time,\), got \(8, 2\)"),
        ("a.wav", np.array([0.0, np.nan]), "with NaN or infinity"),
    ],
)
def test_refused_writing_leaves_no_file(
    tmp_path: Path, name: str, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(AudioError, match=message):
        audio.write(tmp_path / name, samples, 16_000)
    assert list(tmp_path.iterdir()) == []


def test_fit_length_pads_the_end_and_keeps_the_middle() -> None:
    samples = np.arange(1, 6, dtype=np.float32)
    assert audio.fit_length(samples, 7).tolist() == [1, 2, 3, 4, 5, 0, 0]
    assert audio.fit_length(samples, 3).tolist() == [2, 3, 4]
    assert audio.fit_length(samples, 5).tolist() == [1, 2, 3, 4, 5]
    assert audio.fit_length(samples[None, None], 6).shape == (1, 1, 6)


def test_levels_are_relative_to_the_clip_with_a_floor_for_silence() -> None:
    samples = sine(440, 1)
    assert audio.level_rms(samples, -20) == pytest.approx(0.5 / np.sqrt(2) / 10, rel=1e-3)
    assert audio.level_rms(np.zeros(100, dtype=np.float32), 0) == audio.SILENCE_RMS
    assert audio.decibels(10) == pytest.approx(20)
    assert audio.decibels(0) == float("-inf")


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(5, dtype=np.float32), 16_000, r"got \(5,\); for one mono clip use samples\[None"),
        (np.zeros((1, 1, 5)), 16_000, "expected float32"),
        (np.zeros((1, 1, 5), dtype=np.float32), 0, "above 0 Hz"),
        (np.full((1, 1, 5), np.nan, dtype=np.float32), 16_000, "finite"),
    ],
)
def test_a_waveform_says_what_it_wanted(samples: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        audio.Waveform(samples, rate)


def test_a_waveform_knows_its_duration() -> None:
    assert audio.Waveform(np.zeros((2, 1, 8000), dtype=np.float32), 16_000).duration_s == 0.5


@pytest.mark.real
def test_real_noise_reads(real_data: Path) -> None:
    path = real_data / "speech-commands-background-noise" / "pink_noise.flac"
    samples, rate = audio.read(path)
    assert rate == 16_000
    assert len(samples) > 30 * rate
