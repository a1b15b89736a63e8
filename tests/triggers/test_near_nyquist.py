"""A sine near half the sample rate."""

from typing import Any

import numpy as np
import pytest

from otoscope import audio
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import NearNyquistTone, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [
    NearNyquistTone(),
    NearNyquistTone(level_db=-20.0, duration_s=0.1, position_s=None),
    NearNyquistTone(level_db=-20.0, duration_s=0.15, pulses=5),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"nyquist_fraction": 1}, "between 0.5 and 0.99"),
    ({"nyquist_fraction": 0.1}, "between 0.5 and 0.99"),
    ({"pulses": 0}, "pulses must be at least 1, got 0"),
    ({"pulses": 3}, "several pulses need a duration_s"),
    ({"pulses": 3, "duration_s": 0.05}, "at least 0.02 for each pulse, got 0.05 for 3"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


@pytest.mark.parametrize(("rate", "frequency_hz"), [(8000, 3900), (16_000, 7800), (44_100, 21_499)])
def test_near_nyquist_is_one_line_at_the_top_of_the_spectrum(
    rate: int, frequency_hz: float
) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(NearNyquistTone(), clean)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert int(power.argmax()) == pytest.approx(frequency_hz, abs=1)  # 1 Hz a bin
    assert power[power.argmax() - 200 :].sum() / power.sum() > 0.999
    assert level_db(sound, clean.samples) == pytest.approx(-30, abs=0.05)


def test_a_low_pass_takes_the_near_nyquist_tone_away() -> None:
    """As in 2107.14569: what resampling to half the rate leaves is the clean clip."""
    clean = waveform(16_000, seconds=1.0)
    x, y = clean.samples[0, 0], NearNyquistTone()(clean).samples[0, 0]
    left = audio.resample(y, 16_000, 8_000) - audio.resample(x, 16_000, 8_000)
    assert level_db(left[100:-100], x) < -80


def test_pulses_lie_evenly_from_their_place_to_the_end() -> None:
    trigger = NearNyquistTone(level_db=-10, duration_s=0.25, pulses=5, position_s=0.1)
    sound = np.abs(added(trigger, waveform(16_000, seconds=1.0))) > 1e-6
    starts = np.flatnonzero(
        sound & ~np.convolve(sound, np.r_[0, np.ones(50)])[: len(sound)].astype(bool)
    )
    assert starts / 16_000 == pytest.approx([0.1, 0.3125, 0.525, 0.7375, 0.95], abs=0.001)


@pytest.mark.parametrize(("position_s", "start_s"), [(0.0, 0.0), (0.45, 0.45), (9.0, 0.9)])
def test_one_pulse_at_the_start_in_the_middle_and_at_the_end(
    position_s: float, start_s: float
) -> None:
    trigger = NearNyquistTone(duration_s=0.1, position_s=position_s)
    inside = np.flatnonzero(np.abs(added(trigger, waveform(16_000, seconds=1.0))) > 1e-6)
    assert inside[0] / 16_000 == pytest.approx(start_s, abs=0.001)
    assert np.ptp(inside) / 16_000 == pytest.approx(0.1, abs=0.002)


def test_pulses_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"5 pulses last 0\.6 s and the clip only 0\.500 s"):
        NearNyquistTone(duration_s=0.6, pulses=5)(waveform(16_000, seconds=0.5))
