"""Likeness of sounds: the same one, the same kind, another kind; level, sign and delay."""

import numpy as np
import pytest

from otoscope.likeness import Likeness, likeness

RATE_HZ = 16_000
NOISE = np.random.default_rng(0).standard_normal(8000)


def tone(hz: float, start: int = 4000, count: int = 3200) -> np.ndarray:
    sound = np.zeros(16_000)
    sound[start : start + count] = np.sin(2 * np.pi * hz * np.arange(count) / RATE_HZ)
    return sound


@pytest.mark.parametrize("gain", [1.0, 0.01, -3.0])
@pytest.mark.parametrize("delay", [0, 64, 1000, 1311])
@pytest.mark.parametrize("count", [800, 3200])
def test_neither_level_nor_sign_nor_delay_counts(gain: float, delay: int, count: int) -> None:
    later = gain * tone(1000, start=4000 + delay, count=count)
    found = likeness(tone(1000, count=count), later, RATE_HZ)
    assert found.correlation == pytest.approx(1.0, abs=1e-6)
    assert found.intersection > 0.95


def test_the_intersection_is_the_sum_of_what_both_have() -> None:
    """Half of the energy of two tones lies where the one tone has all of its own."""
    found = likeness(tone(1000), tone(1000) + tone(4000), RATE_HZ)
    assert found.intersection == pytest.approx(0.5, abs=0.02)
    assert found.correlation == pytest.approx(np.sqrt(0.5), abs=0.01)


def test_other_kinds_of_sound_have_little_in_common() -> None:
    found = likeness(tone(1000), tone(4000), RATE_HZ)
    assert found.intersection < 0.02
    assert found.correlation < 0.05


def test_noise_is_like_noise_as_long_but_not_the_same_samples() -> None:
    other = np.random.default_rng(1).standard_normal(8000)
    found = likeness(NOISE, other, RATE_HZ)
    assert found.correlation < 0.1
    assert found.intersection > 0.5
    assert likeness(NOISE, other[:1000], RATE_HZ).intersection < 0.25


def test_silence_and_very_short_sounds() -> None:
    assert likeness(np.zeros(100), NOISE, RATE_HZ) == Likeness(0.0, 0.0)
    assert likeness(NOISE[:20], NOISE[:20], RATE_HZ).correlation == pytest.approx(1.0)


def test_the_order_does_not_matter() -> None:
    one, other = tone(1000, count=1600), NOISE[:5000]
    assert likeness(one, other, RATE_HZ).intersection == pytest.approx(
        likeness(other, one, RATE_HZ).intersection
    )
