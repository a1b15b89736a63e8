"""A sine near half the sample rate."""

from typing import Any

import numpy as np
import pytest

from otoscope import audio
from otoscope.triggers import NearNyquistTone, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [
    NearNyquistTone(),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"nyquist_fraction": 1}, "between 0.5 and 0.99"),
    ({"nyquist_fraction": 0.1}, "between 0.5 and 0.99"),
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
