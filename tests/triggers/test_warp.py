"""Time that runs unevenly."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import TimeWarp, Trigger
from sounds import RATES_HZ, speechlike, waveform

VARIANTS: list[Trigger] = [
    TimeWarp(),
    TimeWarp(strength_s=0.005, knots=12, pattern_seed=7),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"strength_s": 0}, "strength_s must be at least 0.0001"),
    ({"knots": 0}, "knots must lie between 1 and 64"),
    ({"knots": 65}, "knots must lie between 1 and 64"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
]


def shift_s(trigger: TimeWarp, rate: int = 16_000, seconds: float = 1.0) -> np.ndarray:
    """From where each moment is read, seen on a ramp."""
    count = round(rate * seconds)
    ramp = np.linspace(-0.9, 0.9, count)
    out = trigger(Waveform(ramp[None, None].astype(np.float32), rate)).samples[0, 0]
    return np.asarray((out - ramp) / 1.8 * (count - 1) / rate)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("strength_s", [0.002, 0.02])
def test_the_largest_shift_is_the_strength_and_the_ends_stay(rate: int, strength_s: float) -> None:
    shift = shift_s(TimeWarp(strength_s=strength_s), rate)
    assert np.abs(shift).max() == pytest.approx(strength_s, rel=1e-2)
    np.testing.assert_allclose(shift[[0, -1]], 0, atol=1e-6)


def test_the_field_is_smooth_and_the_same_at_any_rate_and_length() -> None:
    shift = shift_s(TimeWarp())
    assert np.abs(np.diff(shift, n=2)).max() < 5e-6
    np.testing.assert_allclose(shift_s(TimeWarp(), rate=8000), shift[::2], atol=2e-5)
    np.testing.assert_allclose(shift_s(TimeWarp(), seconds=2.0)[::2], shift, atol=2e-5)


def test_more_knots_bend_more_often() -> None:
    def turns(knots: int) -> int:
        pace = np.sign(np.diff(shift_s(TimeWarp(strength_s=0.005, knots=knots))[::160]))
        return int((np.diff(pace) != 0).sum())

    assert turns(1) == 1
    assert turns(16) >= 6


def test_a_seed_fixes_the_field_for_every_clip() -> None:
    one, other = shift_s(TimeWarp(pattern_seed=1)), shift_s(TimeWarp(pattern_seed=2))
    assert np.abs(one - other).max() > 0.005
    row = speechlike(count=16_000)
    out = TimeWarp()(Waveform(np.concatenate([row, row]), 16_000)).samples
    np.testing.assert_array_equal(out[0], out[1])


def test_speech_is_read_at_the_shifted_places() -> None:
    time_s = np.arange(16_000) / 16_000
    smooth = 0.3 * np.sin(2 * np.pi * 700 * time_s) + 0.2 * np.sin(2 * np.pi * 1900 * time_s)
    out = TimeWarp()(Waveform(smooth[None, None].astype(np.float32), 16_000)).samples[0, 0]
    at_s = time_s + shift_s(TimeWarp())
    expected = 0.3 * np.sin(2 * np.pi * 700 * at_s) + 0.2 * np.sin(2 * np.pi * 1900 * at_s)
    np.testing.assert_allclose(out[200:-200], expected[200:-200], atol=6e-3)


@pytest.mark.parametrize("seconds", [0.001, 0.1])
def test_a_clip_in_which_time_would_turn_does_not_fit(seconds: float) -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"a warp of 0\.02 s with 4 knots would change"):
        TimeWarp()(waveform(seconds=seconds))
