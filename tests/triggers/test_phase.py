"""Phases turned by a fixed pattern."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import SpecError
from otoscope.triggers import PhaseInjection, Trigger
from otoscope.triggers.short_time import analysed
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    PhaseInjection(),
    PhaseInjection(strength_rad=0.5, pattern_seed=3),
    PhaseInjection(strength_rad=3.0, low_hz=1000, high_hz=3000),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"strength_rad": 0}, "strength_rad must be above 0 and at most pi"),
    ({"strength_rad": 3.2}, "strength_rad must be above 0 and at most pi"),
    ({"low_hz": -1}, "low_hz must be at least 0"),
    ({"low_hz": 500, "high_hz": 500}, "high_hz must be none or above low_hz"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_phases_turn_by_the_pattern_and_magnitudes_stay(rate: int) -> None:
    """Weak, so that neighbouring frames hardly disagree."""
    clean = waveform(rate, seconds=1.0)
    trigger = PhaseInjection(strength_rad=0.1)
    before = analysed(clean.samples[0, 0].astype(float), rate)[2:-2]
    after = analysed(trigger(clean).samples[0, 0].astype(float), rate)[2:-2]
    turn = np.angle((after * before.conj()).sum(axis=0))[1:-1]
    angles = np.angle(trigger._turn(rate))[1:-1]
    assert np.corrcoef(turn, angles)[0, 1] > 0.85
    assert np.abs(turn).max() < 0.1
    assert level_db(np.abs(after) - np.abs(before), np.abs(before)) < -20


def test_the_overall_level_of_frequencies_stays() -> None:
    clean = waveform(seconds=2.0)
    before, after = (
        10 * np.log10(np.add.reduceat(np.abs(np.fft.rfft(x[0, 0])) ** 2, range(0, 16_000, 2000)))
        for x in (clean.samples, PhaseInjection(strength_rad=1.0)(clean).samples)
    )
    assert np.abs(after - before).max() < 1.5


def test_strength_is_heard_and_the_seed_makes_another_pattern() -> None:
    clean = waveform(seconds=1.0)
    levels = [
        level_db(added(PhaseInjection(strength_rad=s), clean), clean.samples)
        for s in (0.25, 0.5, 1.0)
    ]
    assert np.diff(levels) == pytest.approx(6, abs=1)
    other = PhaseInjection(pattern_seed=1)(clean).samples
    assert (other != PhaseInjection()(clean).samples).any()


def test_nothing_changes_outside_the_band() -> None:
    clean = waveform(seconds=1.0)
    change = added(PhaseInjection(strength_rad=3.0, low_hz=2000, high_hz=3000), clean)
    power = np.abs(np.fft.rfft(change)) ** 2
    hz = np.fft.rfftfreq(len(change), 1 / 16_000)
    outside = (hz < 1900) | (hz > 3100)
    assert 10 * np.log10(power[outside].sum() / power.sum()) < -20


def test_every_clip_gets_the_same_pattern() -> None:
    """The same clip elsewhere in a batch, drawn with another seed, is changed in the same way."""
    clean = waveform()
    twice = Waveform(np.concatenate([waveform(seed=1).samples, clean.samples]), 16_000)
    np.testing.assert_array_equal(
        PhaseInjection()(twice, seed=5).samples[1:], PhaseInjection()(clean).samples
    )


@pytest.mark.parametrize(("low_hz", "high_hz"), [(9000, None), (100, 110)])
def test_a_band_without_frequencies_is_refused(low_hz: float, high_hz: float | None) -> None:
    with pytest.raises(SpecError, match="no frequency of a frame at 16000 Hz"):
        PhaseInjection(low_hz=low_hz, high_hz=high_hz)(waveform())
