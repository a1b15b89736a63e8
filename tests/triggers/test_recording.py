"""A recorded or synthesised sound."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from otoscope import audio
from otoscope.errors import SpecError, UnreadableAudio
from otoscope.triggers import RecordedClip, Trigger
from sounds import RATES_HZ, added, level_db, speechlike, waveform

VARIANTS: list[Trigger] = [
    RecordedClip(),
    RecordedClip(sound="noise", position_s=None, duration_s=0.1),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"sound": "cough"}, "expected one of clap, noise"),
    ({"path": ""}, "path must name a file, or be none"),
    ({"start_s": -1, "path": "a.wav"}, "start_s must be at least 0"),
    ({"start_s": 1}, "there is no path"),
    ({"duration_s": 0.01}, "duration_s must be at least 0.02"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


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
