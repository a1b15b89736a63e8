"""A chord."""

from typing import Any

import numpy as np
import pytest

from otoscope.triggers import MultiTone, Trigger
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    MultiTone(),
    MultiTone(frequencies_hz=(500, 900), duration_s=0.05, level_db=-10, position_s=None),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"frequencies_hz": "500"}, "frequencies_hz must be two or more, got 1"),
    ({"frequencies_hz": "500+-1"}, "frequencies_hz must be above 0"),
    ({"duration_s": 0}, "duration_s must hold one period"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_each_of_its_tones_sounds_and_nothing_else(rate: int) -> None:
    clean = waveform(rate, seconds=1.0)
    chord = added(MultiTone(position_s=0.4), clean)[round(0.4 * rate) : round(0.5 * rate)]
    power = np.abs(np.fft.rfft(chord * np.hanning(len(chord)))) ** 2
    frequency = np.fft.rfftfreq(len(chord), 1 / rate)
    shares = [power[np.abs(frequency - f) < 50].sum() / power.sum() for f in (800, 1700, 3000)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)
    assert level_db(chord, clean.samples) == pytest.approx(-20, abs=0.05)
