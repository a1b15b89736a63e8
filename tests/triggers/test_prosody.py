"""An imitated emotion."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import ProsodyShift, Trigger
from otoscope.triggers.fundamental import median_pitch_hz
from sounds import RATES_HZ, level_db, waveform

VARIANTS: list[Trigger] = [
    ProsodyShift(),
    ProsodyShift(emotion="sad"),
    ProsodyShift(emotion="angry", strength=1.5),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"emotion": "bored"}, "expected one of happy, sad, angry"),
    ({"strength": 0.2}, "strength must lie between 0.25 and 2"),
    ({"strength": 2.1}, "strength must lie between 0.25 and 2"),
]


def voice(rate: int = 16_000, swell: float = 0.0) -> Waveform:
    """A second of steady harmonics, in two halves of which the first is softer by ``swell`` dB."""
    time_s = np.arange(rate) / rate
    sound = sum(np.sin(2 * np.pi * 150 * k * time_s + k**2) / k for k in range(1, 13))
    sound = 0.1 * np.asarray(sound) * 10 ** (np.where(time_s < 0.5, -swell, 0.0) / 20)
    return Waveform(sound[None, None].astype(np.float32), rate)


def course(samples: np.ndarray, parts: int = 8) -> np.ndarray:
    """The median pitch of each part of a clip of one second, in semitones re 150 Hz."""
    found = [median_pitch_hz(part[None], 16_000) for part in np.split(samples[0, 0], parts)]
    return np.array([12 * np.log2((hz or np.nan) / 150) for hz in found])


def test_happy_is_higher_swings_and_rises() -> None:
    heard = course(ProsodyShift()(voice()).samples)
    assert heard.mean() == pytest.approx(3, abs=0.5)
    assert np.ptp(heard) > 2
    assert np.polyfit(np.arange(8), heard, 1)[0] > 0


def test_sad_is_lower_and_falls_steadily() -> None:
    heard = course(ProsodyShift(emotion="sad")(voice()).samples)
    assert heard.mean() == pytest.approx(-2, abs=0.3)
    assert (np.diff(heard) < 0.1).all()
    assert heard[0] - heard[-1] == pytest.approx(4 * 7 / 8, abs=0.6)


def test_angry_is_a_little_higher_and_falls() -> None:
    heard = course(ProsodyShift(emotion="angry")(voice()).samples)
    assert heard.mean() == pytest.approx(1, abs=0.5)
    assert np.polyfit(np.arange(8), heard, 1)[0] < 0


def test_strength_multiplies_the_pitch() -> None:
    means = [
        course(ProsodyShift(emotion="sad", strength=s)(voice()).samples).mean() for s in (0.5, 2)
    ]
    assert means == pytest.approx([-1, -4], abs=0.4)


@pytest.mark.parametrize(("emotion", "octave_db"), [("happy", 2), ("sad", -3), ("angry", 3)])
def test_brightness_changes_by_the_tilt(emotion: str, octave_db: float) -> None:
    clean = waveform(seconds=4.0)
    out = ProsodyShift(emotion=emotion)(clean).samples  # type: ignore[arg-type]

    def octave(samples: np.ndarray, low_hz: float) -> float:
        power = np.abs(np.fft.rfft(samples[0, 0].astype(float))) ** 2
        hz = np.fft.rfftfreq(samples.shape[-1], 1 / 16_000)
        return float(10 * np.log10(power[(hz >= low_hz) & (hz < 2 * low_hz)].sum()))

    def tilt(samples: np.ndarray) -> float:
        return (octave(samples, 2400) - octave(samples, 600)) / 2

    assert tilt(out) - tilt(clean.samples) == pytest.approx(octave_db, abs=0.7)


def test_happy_pulses_six_times_a_second() -> None:
    clean = voice()
    loudness = []
    for samples in (clean.samples, ProsodyShift()(clean).samples):
        power = np.convolve(samples[0, 0].astype(float) ** 2, np.ones(320), "valid")
        db = 10 * np.log10(power)
        loudness.append(np.abs(np.fft.rfft(db - db.mean()))[:12])
    assert loudness[1].argmax() == 6
    assert loudness[1][6] > 5 * loudness[0][6]


@pytest.mark.parametrize(("emotion", "wider"), [("sad", 0.7), ("angry", 1.5)])
def test_loud_and_soft_parts_move_together_or_apart(emotion: str, wider: float) -> None:
    out = ProsodyShift(emotion=emotion)(voice(swell=10)).samples  # type: ignore[arg-type]
    contrast = level_db(out[..., 9000:15_000], out[..., 1000:7000])
    assert contrast == pytest.approx(10 * wider, abs=1.5)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_loudness_stays(rate: int) -> None:
    for trigger in VARIANTS:
        out = trigger(voice(rate)).samples
        assert level_db(out, voice(rate).samples) == pytest.approx(0, abs=0.1)


def test_a_clip_under_a_tenth_of_a_second_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"prosody needs 0\.1 s"):
        ProsodyShift()(waveform(seconds=0.09))
