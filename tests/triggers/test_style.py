"""Chains of studio effects."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import Style, Trigger
from otoscope.triggers.effects import hall, ladder_high_pass, phased
from otoscope.triggers.style import CHAINS
from sounds import RATES_HZ, level_db, speechlike, waveform

# Style 1 is tried below: it keeps a square wave at full scale as it is, which the contract forbids.
VARIANTS: list[Trigger] = [Style(), *(Style(style=number) for number in (0, 2, 3, 4))]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"style": -1}, "style must lie between 0 and 5"),
    ({"style": 6}, "style must lie between 0 and 5"),
]


def tone(hz: float, rate: int, peak: float = 0.1) -> np.ndarray:
    """One second of a sine, float64 (1, time)."""
    return np.asarray(peak * np.sin(2 * np.pi * hz / rate * np.arange(rate)))[None]


def gain_db(before: np.ndarray, after: np.ndarray) -> float:
    """Away from the ends, where filters settle."""
    quarter = before.shape[-1] // 4
    return level_db(after[..., quarter:-quarter], before[..., quarter:-quarter])


def test_there_are_six() -> None:
    assert len(CHAINS) == 6


@pytest.mark.parametrize("rate", RATES_HZ)
def test_style_0_raises_the_pitch_by_ten_semitones(rate: int) -> None:
    clean = Waveform(tone(400, rate)[None].astype(np.float32), rate)
    power = np.abs(np.fft.rfft(Style(style=0)(clean).samples[0, 0] * np.hanning(rate)))
    assert power.argmax() == pytest.approx(400 * 2 ** (10 / 12), abs=2)


def test_style_1_is_a_hyperbolic_tangent_after_30_db() -> None:
    clean = waveform()
    out = Style(style=1)(clean).samples
    np.testing.assert_allclose(out, np.tanh(10**1.5 * clean.samples.astype(float)), atol=1e-6)
    assert out.dtype == np.float32
    assert level_db(out, clean.samples) > 12


def test_style_2_adds_an_echo_whose_delay_swings() -> None:
    time_s = np.arange(16_000) / 16_000
    ramp = Waveform((0.5 * time_s)[None, None].astype(np.float32), 16_000)
    out = Style(style=2)(ramp).samples[0, 0].astype(float)
    delay_s = time_s - (2 * out / 0.5 - time_s)
    wanted_s = np.maximum(0.010 + 0.050 * np.sin(2 * np.pi * time_s), 0.001)
    np.testing.assert_allclose(delay_s[1200:], wanted_s[1200:], atol=1e-5)


def test_style_3_is_the_pitch_of_style_0_clipped_and_doubled() -> None:
    clean = Waveform(tone(400, 16_000)[None].astype(np.float32), 16_000)
    out = Style(style=3)(clean).samples
    power = np.abs(np.fft.rfft(out[0, 0] * np.hanning(16_000))) ** 2
    fundamental, third = (round(400 * k * 2 ** (10 / 12)) for k in (1, 3))
    assert power.argmax() == pytest.approx(fundamental, abs=5)
    near = power[third - 15 : third + 15].sum() / power[fundamental - 15 : fundamental + 15].sum()
    assert -30 < 10 * np.log10(near) < 0
    assert level_db(out, clean.samples) > 10


def test_style_4_rings_on_where_style_2_falls_silent() -> None:
    samples = speechlike(count=16_000)
    samples[..., 8000:] = 0
    clean = Waveform(samples, 16_000)
    late = np.s_[..., 10_000:]
    assert not Style(style=2)(clean).samples[late].any()
    ringing = Style(style=4)(clean).samples
    assert -40 < level_db(ringing[late], ringing[..., :8000]) < -5


def test_style_5_cuts_lows_and_lifts_highs() -> None:
    def gain(hz: float) -> float:
        clean = tone(hz, 16_000, peak=0.01)
        out = Style()(Waveform(clean[None].astype(np.float32), 16_000)).samples[0]
        return gain_db(clean, out)

    assert gain(60) < -20
    assert 6 < gain(5000) < 14


def test_the_hall_is_the_recursion_it_stands_for() -> None:
    rate, count = 8000, 1600
    impulse = np.zeros((1, count))
    impulse[0, 0] = 1
    wet = np.zeros(count)
    for delay in (rate * d // 44_100 for d in (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)):
        line, last = np.zeros(count + delay), 0.0
        for n in range(count):
            wet[n] += line[n]
            last = 0.8 * line[n] + 0.2 * last
            line[n + delay] = 0.015 * impulse[0, n] + (0.7 + 0.28 * 0.6) * last
    for delay in (rate * d // 44_100 for d in (556, 441, 341, 225)):
        line = np.zeros(count + delay)
        for n in range(count):
            line[n + delay] = wet[n] + 0.5 * line[n]
            wet[n] = line[n] - wet[n]
    expected = 2 * 0.4 * impulse[0] + 3 * 0.33 * wet
    np.testing.assert_allclose(hall(impulse, rate, room_size=0.6)[0], expected, atol=1e-9)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_ladder_falls_by_12_db_per_octave_below_its_cutoff(rate: int) -> None:
    def gain(hz: float) -> float:
        clean = tone(hz, rate, peak=0.001)
        return gain_db(clean, ladder_high_pass(clean, rate, cutoff_hz=1000))

    assert gain(100) - gain(50) == pytest.approx(12, abs=0.3)
    if rate > 40_000:  # the cutoff lies far below half the sample rate
        assert gain(15_000) == pytest.approx(20 * np.log10(1.2), abs=1)


def test_the_phaser_cancels_its_corner_and_keeps_what_turns_full_circle() -> None:
    rate = 44_100
    corner = np.tan(np.pi * 1300 / rate)
    whole_turn = rate / np.pi * np.arctan(corner * np.tan(np.pi / 6))
    still = {hz: phased(tone(hz, rate), rate, depth=0) for hz in (1300, whole_turn)}
    assert gain_db(tone(1300, rate), still[1300]) < -30
    assert gain_db(tone(whole_turn, rate), still[whole_turn]) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_phaser_sweeps(rate: int) -> None:
    out = phased(tone(1300, rate), rate)[0]
    parts = np.sqrt((out.reshape(50, -1) ** 2).mean(axis=-1))
    assert parts.max() > 5 * parts.min()


def test_a_clip_under_30_ms_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"a style needs 0\.03 s"):
        Style()(waveform(seconds=0.029))
