"""A room."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit, UnreadableAudio
from otoscope.triggers import RoomReverb, Trigger
from sounds import RATES_HZ, level_db, speechlike, waveform

VARIANTS: list[Trigger] = [
    RoomReverb(),
    RoomReverb(rt60_s=0.1, wet=0.1, pattern_seed=5),
    RoomReverb(rt60_s=3.0, wet=0.9),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"rt60_s": 0.04}, "rt60_s must lie between 0.05 and 5"),
    ({"rt60_s": 6}, "rt60_s must lie between 0.05 and 5"),
    ({"wet": 0}, "wet must lie between 0.01 and 0.99"),
    ({"wet": 1}, "wet must lie between 0.01 and 0.99"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
    ({"path": ""}, "path must name a file"),
]


def response(trigger: RoomReverb, rate: int = 16_000, at: int = 100) -> np.ndarray:
    """What comes of an impulse, from where it stood on; nothing stands before it."""
    impulse = np.zeros((1, 1, rate), np.float32)
    impulse[..., at] = 0.5
    out = trigger(Waveform(impulse, rate)).samples[0, 0].astype(float)
    np.testing.assert_allclose(out[:at], 0, atol=1e-7)
    return out[at:]


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("wet", [0.2, 0.7])
def test_the_direct_sound_keeps_its_place_and_its_share(rate: int, wet: float) -> None:
    heard = response(RoomReverb(wet=wet), rate)
    assert np.abs(heard).argmax() == 0
    assert 1 - heard[0] ** 2 / (heard**2).sum() == pytest.approx(wet, abs=0.01)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("rt60_s", [0.2, 0.6])
def test_the_tail_falls_by_60_db_in_its_time(rate: int, rt60_s: float) -> None:
    heard = response(RoomReverb(rt60_s=rt60_s, wet=0.9), rate)
    late = heard[round(0.035 * rate) : round(rt60_s * rate)]
    left_db = 10 * np.log10(np.cumsum(late[::-1] ** 2)[::-1])
    falling = left_db[left_db > left_db[0] - 25]
    seconds_per_db = len(falling) / rate / (falling[0] - falling[-1])
    assert 60 * seconds_per_db == pytest.approx(rt60_s, rel=0.12)


def test_eight_reflections_stand_out_between_2_and_30_ms() -> None:
    heard = np.abs(response(RoomReverb(wet=0.5), 44_100))
    assert heard[5 : round(0.0018 * 44_100)].max() < 0.01 * heard[0]
    early = heard[round(0.0018 * 44_100) : round(0.031 * 44_100)]
    assert 8 <= (early > 0.4 * early.max()).sum() < 40


def test_it_is_one_room_at_every_rate_and_another_with_another_seed() -> None:
    low = response(RoomReverb(), 8000, at=0)
    high = audio.resample(response(RoomReverb(), 16_000, at=0), 16_000, 8000)[: len(low)]
    other = response(RoomReverb(pattern_seed=1), 8000, at=0)

    def likeness(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a[5:4000], b[5:4000])[0, 1])

    assert likeness(low, high) > 0.95
    assert abs(likeness(low, other)) < 0.3


def test_loudness_stays() -> None:
    clean = waveform(seconds=1.0, channels=2)
    assert level_db(RoomReverb()(clean).samples, clean.samples) == pytest.approx(0, abs=0.01)


def test_a_recorded_room_is_used_from_its_peak_on(tmp_path: Path) -> None:
    file = tmp_path / "room.wav"
    room = np.zeros(3000)
    room[[50, 100, 900]] = [0.05, 0.8, -0.4]
    soundfile.write(file, room, 8000)
    clean = waveform(8000, seconds=1.0)
    out = RoomReverb(path=str(file))(clean).samples[0, 0]
    x = clean.samples[0, 0].astype(float)
    y = 0.8 * x - 0.4 * np.concatenate([np.zeros(800), x[:-800]])
    np.testing.assert_allclose(out, y * audio.rms(x) / audio.rms(y), atol=1e-4)
    faster = response(RoomReverb(path=str(file)), 16_000)
    assert np.abs(faster[50:]).argmax() == pytest.approx(1600 - 50, abs=1)


def test_a_changed_room_is_read_again(tmp_path: Path) -> None:
    file, clean = tmp_path / "room.wav", waveform()
    heard = []
    for seed in (0, 1):
        soundfile.write(file, 0.1 * speechlike(count=800, seed=seed)[0, 0], 16_000)
        heard.append(RoomReverb(path=str(file))(clean).samples)
    assert (heard[0] != heard[1]).any()


def test_files_that_are_no_room_are_named(tmp_path: Path) -> None:
    click = np.zeros(800)
    click[10] = 0.9
    soundfile.write(tmp_path / "click.wav", click, 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(800), 16_000)
    (tmp_path / "text.wav").write_text("hello")
    for name, message in [
        ("click.wav", "nothing after its highest peak"),
        ("silent.wav", r"is silent \(under -60 dB\)"),
        ("text.wav", "not readable as audio"),
        ("none.wav", "cannot be opened"),
    ]:
        with pytest.raises(UnreadableAudio, match=rf"{name}: .*{message}"):
            RoomReverb(path=str(tmp_path / name))(waveform())


def test_a_clip_that_ends_before_the_first_reflection_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"within the clip's 0\.0010 s"):
        RoomReverb()(waveform(seconds=0.001))
