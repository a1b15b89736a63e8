"""Mains hum."""

from typing import Any

import numpy as np
import pytest

from otoscope.triggers import Hum, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [Hum(), Hum(fundamental_hz=60, harmonics=2, level_db=-10)]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"fundamental_hz": 5}, "fundamental_hz must lie between 20 and 400"),
    ({"harmonics": 0}, "harmonics must be at least 1"),
]


def test_harmonics_fall_by_six_decibels() -> None:
    clean = waveform(seconds=2.0)
    sound = added(Hum(fundamental_hz=50, harmonics=4), clean)
    level = 20 * np.log10(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))))
    peaks = level[[100, 200, 300, 400]]  # half a hertz a bin
    np.testing.assert_allclose(np.diff(peaks), -6, atol=0.2)
    assert level[500] < peaks[-1] - 40, "no fifth"
    assert level_db(sound, clean.samples) == pytest.approx(-20, abs=0.05)


def test_harmonics_end_at_half_the_sample_rate() -> None:
    sound = added(Hum(fundamental_hz=400, harmonics=50), waveform(8000, seconds=1.0))
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert power[380:420].sum() > 0.7 * power.sum()
