"""Speech told at an uneven pace."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import RhythmTransform, Trigger
from sounds import RATES_HZ, level_db, speechlike, waveform

VARIANTS: list[Trigger] = [
    RhythmTransform(),
    RhythmTransform(strength=2.5, segment_s=0.05, pattern_seed=4),
    RhythmTransform(pattern_seed=None),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"strength": 1.0}, "strength must lie between 1.05 and 3"),
    ({"strength": 3.1}, "strength must lie between 1.05 and 3"),
    ({"segment_s": 0.02}, "segment_s must be at least 0.03"),
    ({"pattern_seed": -1}, "pattern_seed must be none or at least 0"),
]


def pulses(rate: int = 16_000) -> Waveform:
    """A steady tone with soft ticks of noise every 50 ms, from 0.2 to 0.8 of a second."""
    time_s = np.arange(rate) / rate
    speech = (time_s >= 0.2) & (time_s < 0.8)
    tick = np.sin(np.pi * time_s / 0.05) ** 16
    sound = (0.1 + tick) * 0.3 * np.random.default_rng(0).standard_normal(rate) * speech
    return Waveform(np.clip(sound, -1, 1)[None, None].astype(np.float32), rate)


def tick_times(samples: np.ndarray) -> np.ndarray:
    """Where the ticks are, in seconds at 16 kHz."""
    power = np.convolve(samples.ravel() ** 2, np.hanning(320), "same")
    inner = power[1:-1]
    peaks = np.flatnonzero((inner > power[:-2]) & (inner >= power[2:])) + 1
    return peaks[power[peaks] > 0.25 * power.max()] / 16_000


def test_ticks_come_at_uneven_times_and_as_many_as_before() -> None:
    clean = pulses()
    even = np.diff(tick_times(clean.samples))
    uneven = np.diff(tick_times(RhythmTransform(segment_s=0.1)(clean).samples))
    assert even.std() < 0.006
    assert uneven.std() > 0.012
    assert abs(len(uneven) - len(even)) <= 2


def test_what_is_stretched_and_squeezed_keeps_its_place_at_both_ends() -> None:
    clean = pulses()
    out = RhythmTransform(strength=2)(clean).samples[0, 0]
    loud = np.flatnonzero(np.abs(out) > 0.05)
    assert loud[0] / 16_000 == pytest.approx(0.2, abs=0.04)
    assert loud[-1] / 16_000 == pytest.approx(0.8, abs=0.04)
    assert not out[: round(0.16 * 16_000)].any()
    assert not out[round(0.84 * 16_000) :].any()


def test_before_the_speech_nothing_changes_and_after_it_hardly_the_place() -> None:
    clean = Waveform(1e-3 * speechlike(count=16_000) + pulses().samples, 16_000)
    x, y = clean.samples[0, 0], RhythmTransform()(clean).samples[0, 0]
    np.testing.assert_allclose(y[: 3200 - 240], x[: 3200 - 240], atol=1e-6)
    lags = np.correlate(y[13_500:15_500], x[13_200:15_800])
    assert abs(300 - int(lags[::-1].argmax())) <= 120
    assert lags.max() > 0.9 * np.sum(y[13_500:15_500] ** 2)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_pitch_and_level_stay(rate: int) -> None:
    time_s = np.arange(rate) / rate
    voice = sum(np.sin(2 * np.pi * 200 * k * time_s + k**2) / k for k in range(1, 6)) / 5
    clean = Waveform(voice[None, None].astype(np.float32), rate)
    out = RhythmTransform(strength=2)(clean).samples
    power = np.abs(np.fft.rfft(out[0, 0] * np.hanning(rate))) ** 2
    assert power.argmax() == pytest.approx(200, abs=3)
    near = np.abs((np.arange(len(power)) + 100) % 200 - 100) < 25
    assert 10 * np.log10(power[~near].sum() / power[near].sum()) < -20
    assert level_db(out, clean.samples) == pytest.approx(0, abs=0.5)


def test_segments_take_turns_and_their_factors_keep_to_the_strength() -> None:
    for seed in range(10):
        factors = RhythmTransform(strength=2.0, pattern_seed=seed)._factors(
            7, np.random.default_rng(0)
        )
        assert (np.diff(np.sign(np.log(factors))) != 0).all()
        sizes = np.abs(np.log2(factors))
        assert (sizes >= 0.5).all()
        assert (sizes <= 1).all()


def test_a_seed_fixes_the_pattern_and_none_draws_it_for_every_clip() -> None:
    row = speechlike(count=16_000)
    clean = Waveform(np.concatenate([row, row, row]), 16_000)
    fixed = RhythmTransform(pattern_seed=2)(clean).samples
    np.testing.assert_array_equal(fixed[0], fixed[1])
    drawn = RhythmTransform(pattern_seed=None)(clean).samples
    assert all((drawn[a] != drawn[b]).any() for a, b in [(0, 1), (1, 2), (0, 2)])


@pytest.mark.parametrize("at", [0, 7990, 15_980])
def test_a_click_alone_takes_its_surroundings_along(at: int) -> None:
    samples = np.float32(1e-3) * speechlike(count=16_000)
    samples[..., at : at + 20] = 0.5
    out = RhythmTransform()(Waveform(samples, 16_000)).samples
    changed = np.flatnonzero((out != samples)[0, 0])
    assert len(changed) > 0.1 * 16_000


def test_a_clip_shorter_than_two_segments_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"two segments of the rhythm needs 0\.24 s"):
        RhythmTransform(segment_s=0.12)(waveform(seconds=0.23))
