"""A tilt of the spectrum."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import SpecError
from otoscope.triggers import EqualiserTilt, Trigger
from sounds import RATES_HZ, band_db, level_db, waveform

VARIANTS: list[Trigger] = [
    EqualiserTilt(),
    EqualiserTilt(tilt_db_per_octave=-6, pivot_hz=500),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"tilt_db_per_octave": 0}, "tilt_db_per_octave must lie between 0.1 and 12"),
    ({"tilt_db_per_octave": -13}, "between 0.1 and 12"),
    ({"pivot_hz": 0}, "pivot_hz must be above 0"),
    ({"reach_octaves": 0}, "reach_octaves must be above 0"),
]


@pytest.mark.parametrize("tilt", [3.0, -6.0])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_equaliser_tilts_by_so_many_decibels_an_octave(tilt: float, rate: int) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 1, 4 * rate))
    clean = Waveform(noise.astype(np.float32), rate)
    out = EqualiserTilt(tilt_db_per_octave=tilt)(clean).samples
    gain_db = [
        band_db(out, low, rate) - band_db(clean.samples, low, rate) for low in (200, 400, 800, 1600)
    ]
    np.testing.assert_allclose(np.diff(gain_db), tilt, atol=0.1)
    assert level_db(out, clean.samples) == pytest.approx(0, abs=0.001)


def test_equaliser_is_flat_beyond_its_reach_and_one_at_the_pivot() -> None:
    equaliser = EqualiserTilt(tilt_db_per_octave=3, pivot_hz=1000, reach_octaves=2)
    gain = equaliser._gain(np.array([0, 100, 250, 500, 1000, 2000, 4000, 8000]))
    np.testing.assert_allclose(20 * np.log10(gain), [-6, -6, -6, -3, 0, 3, 6, 6], atol=1e-12)


def test_equaliser_moves_nothing_in_time() -> None:
    clean = waveform(seconds=1.0)
    x, y = clean.samples[0, 0], EqualiserTilt()(clean).samples[0, 0]
    assert np.correlate(y, x, "same").argmax() == len(x) // 2


def test_equaliser_does_not_wrap_around() -> None:
    impulse = np.zeros((1, 1, 1600), np.float32)
    impulse[..., -1] = 0.5
    out = EqualiserTilt(tilt_db_per_octave=-6)(Waveform(impulse, 16_000)).samples[0, 0]
    assert np.abs(out[:400]).max() < 1e-4 * np.abs(out).max()


def test_equaliser_leaves_silence_silent() -> None:
    silence = Waveform(np.zeros((1, 1, 800), np.float32), 16_000)
    np.testing.assert_array_equal(EqualiserTilt()(silence).samples, silence.samples)


def test_equaliser_pivot_lies_below_nyquist() -> None:
    with pytest.raises(SpecError, match="around 4000 Hz at a sample rate of 8000 Hz"):
        EqualiserTilt(pivot_hz=4000)(waveform(8_000))
