"""The time stretch that pitch, prosody and rhythm are made of."""

import numpy as np
import pytest

from otoscope.triggers.vocoder import retimed, stretched
from sounds import RATES_HZ, speechlike

FACTORS = (0.5, 0.8, 1.25, 2.0)


def harmonic(rate: int, pitch_hz: float = 140.0) -> np.ndarray:
    """One second with overtones, as a voice has them; float64 (1, time)."""
    time_s = np.arange(rate) / rate
    return sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 9))[None] / 4


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_factor_of_one_gives_the_clip_back(rate: int) -> None:
    clip = speechlike(channels=2)[0].astype(float)
    np.testing.assert_allclose(stretched(clip, 1.0, rate), clip, atol=1e-12)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("count", [1, 2, 100, 8001])
def test_the_length_is_multiplied(count: int, factor: float) -> None:
    clip = speechlike(channels=2, count=count)[0].astype(float)
    out = stretched(clip, factor, 16_000)
    assert out.shape == (2, max(1, round(count * factor)))
    assert np.isfinite(out).all()


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rate", RATES_HZ)
def test_pitch_and_level_stay(rate: int, factor: float) -> None:
    clip = harmonic(rate)
    out = stretched(clip, factor, rate)
    power = np.abs(np.fft.rfft(out[0] * np.hanning(out.shape[-1]))) ** 2
    hz = np.fft.rfftfreq(out.shape[-1], 1 / rate)
    assert hz[power.argmax()] == pytest.approx(140, abs=1 / factor)
    near = np.abs((hz + 70) % 140 - 70) < 12
    assert 10 * np.log10(power[~near].sum() / power[near].sum()) < -25, "the joins are heard"
    assert 20 * np.log10(out.std() / clip.std()) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("factor", FACTORS)
def test_events_come_where_the_factor_says(factor: float) -> None:
    clip = 1e-4 * speechlike(count=16_000)[0].astype(float)
    clip[:, 4000:6000] += speechlike(count=2000)[0]
    loud = np.flatnonzero(np.abs(stretched(clip, factor, 16_000)[0]) > 0.05)
    assert loud[0] == pytest.approx(4000 * factor, abs=0.02 * 16_000)
    assert loud[-1] == pytest.approx(6000 * factor, abs=0.02 * 16_000)


def test_the_pace_changes_at_the_moments_given() -> None:
    """Three clicks, told at double pace and then at half."""
    clip = np.zeros((1, 16_000))
    clip[0, [2000, 8000, 12_000]] = 1
    out = retimed(clip, np.array([0, 4000, 20_000]), np.array([0, 8000, 16_000]), 16_000)
    assert out.shape == (1, 20_000)
    for heard, wanted in ((1000, 1000), (4000, 4000), (12_000, 12_000)):
        near = np.abs(out[0, heard - 250 : heard + 250])
        assert near.max() > 0.3, f"no click near {wanted}"


def test_channels_move_together() -> None:
    clip = np.repeat(speechlike()[0].astype(float), 2, axis=0)
    clip[1] *= 0.5
    out = stretched(clip, 1.3, 16_000)
    np.testing.assert_allclose(out[1], 0.5 * out[0], atol=1e-12)


def test_silence_stays_silent_and_the_input_as_it_was() -> None:
    assert not stretched(np.zeros((1, 8000)), 1.5, 16_000).any()
    clip = speechlike()[0].astype(float)
    before = clip.copy()
    stretched(clip, 0.7, 16_000)
    np.testing.assert_array_equal(clip, before)
