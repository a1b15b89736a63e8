"""Sound events, filters and modulations in one trigger."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.signal import hilbert

from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.registry import build, text
from otoscope.triggers import TRIGGERS, Composite, EqualiserTilt, Trigger
from sounds import RATES_HZ, added, band_db, level_db, waveform


def no(group: str) -> dict[str, Any]:
    """No event, filter or modulation."""
    return {f.name: () for f in dataclasses.fields(Composite) if f.name.startswith(group)}


NO_EVENT, NO_FILTER, STILL = no("event"), no("filter"), no("modulation")


def event(**fields: float) -> Composite:
    """One event and nothing else."""
    values = {
        "hz": 1000.0,
        "octaves": 0.0,
        "spread_hz": 0.0,
        "start_s": 0.0,
        "duration_s": 0.2,
        "level_db": -20.0,
        **fields,
    }
    own: dict[str, Any] = {f"event_{name}": (value,) for name, value in values.items()}
    return Composite(**own, **NO_FILTER, **STILL)


VARIANTS: list[Trigger] = [
    Composite(),
    event(level_db=0.0),
    Composite(**NO_EVENT, **STILL),
    Composite(**NO_EVENT, **NO_FILTER),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"event_hz": "100"}, "begin with event need equally many values"),
    ({"filter_gain_db": ""}, "begin with filter need equally many values"),
    ({"event_hz": "nan+1"}, "event_hz: expected a number"),
    ({"event_spread_hz": (0.0, float("inf"))}, "event_spread_hz.*number"),
    ({"event_level_db": "-61+0"}, "event_level_db must be -60 and 40, got -61"),
    ({"event_duration_s": "0.001+0.1"}, "event_duration_s must be 0.01 or more"),
    ({"modulation_depth": "1.5"}, "modulation_depth must be 0.01 and 1, got 1.5"),
    ({**NO_EVENT, **NO_FILTER, **STILL}, "must not all be empty"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_an_event_has_its_level_place_and_pitch(rate: int) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(event(hz=1000, start_s=0.3, level_db=-10), clean)
    start, stop = round(0.3 * rate), round(0.5 * rate)
    assert not sound[:start].any()
    assert not sound[stop:].any()
    assert level_db(sound[start:stop], clean.samples) == pytest.approx(-10, abs=0.05)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert power.argmax() == pytest.approx(1000, abs=3), "one bin is one hertz"


def test_an_event_glides_by_its_octaves() -> None:
    clean = Waveform(np.zeros((1, 1, 16_000), np.float32), 16_000)
    sound = added(event(hz=500, octaves=1, duration_s=1.0, level_db=20), clean)
    pitch = np.diff(np.unwrap(np.angle(hilbert(sound)))) * 16_000 / (2 * np.pi)
    assert np.median(pitch[1500:1700]) == pytest.approx(550, abs=5)
    assert np.median(pitch[14_300:14_500]) == pytest.approx(950, abs=5)


def test_a_spread_makes_a_band_of_noise() -> None:
    clean = Waveform(np.zeros((1, 1, 16_000), np.float32), 16_000)
    sound = added(event(hz=2000, spread_hz=400, duration_s=1.0), clean)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert power[1790:2211].sum() > 0.99 * power.sum()
    assert power[1800:1900].sum() > 0.1 * power.sum(), "a band, not a line"


def test_a_filter_has_its_gain_at_its_centre_and_less_around() -> None:
    gain = Composite(filter_hz=(1000.0,), filter_gain_db=(-12.0,))._gain(
        np.array([0.0, 125.0, 1000.0, 1000 * 2**0.5])
    )
    wanted = [0, -12 * np.exp(-18), -12, -12 * np.exp(-0.5)]
    np.testing.assert_allclose(20 * np.log10(gain), wanted, atol=1e-9)
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 1, 64_000))
    clean = Waveform(noise.astype(np.float32), 16_000)
    dip = Composite(**NO_EVENT, **STILL, filter_hz=(1000.0,), filter_gain_db=(-12.0,))
    out = dip(clean).samples
    change = [band_db(out, hz, 16_000) - band_db(clean.samples, hz, 16_000) for hz in (1000, 6000)]
    assert change[0] - change[1] == pytest.approx(-12, abs=0.5)
    assert level_db(out, clean.samples) == pytest.approx(0, abs=0.001)


def test_a_modulation_swings_the_level() -> None:
    flat = Waveform(np.full((1, 1, 16_000), 0.1, np.float32), 16_000)
    trigger = Composite(**NO_EVENT, **NO_FILTER, modulation_hz=(4.0,), modulation_depth=(0.5,))
    out = trigger(flat).samples[0, 0]
    assert out.max() / out.min() == pytest.approx(3, abs=0.01)
    assert int(np.abs(np.fft.rfft(out - out.mean())).argmax()) == 4


def test_several_filters_add_up_like_equalisers_in_a_row() -> None:
    two = Composite(filter_hz=(500.0, 500.0), filter_gain_db=(3.0, 3.0), filter_octaves=(1.0, 1.0))
    one = Composite(filter_hz=(500.0,), filter_gain_db=(6.0,), filter_octaves=(1.0,))
    hz = np.linspace(0, 8000, 50)
    np.testing.assert_allclose(two._gain(hz), one._gain(hz))
    assert not np.allclose(one._gain(hz), EqualiserTilt()._gain(hz))


def test_values_are_finite() -> None:
    with pytest.raises(SpecError, match="filter_gain_db must be finite, got"):
        Composite(filter_gain_db=(float("nan"),))


def test_what_cannot_exist_is_refused() -> None:
    with pytest.raises(SpecError, match=r"reaches 4800 Hz .* at a sample rate of 8000 Hz"):
        event(hz=2400, octaves=1)(waveform(8_000))
    with pytest.raises(TriggerDoesNotFit, match="lasts 2"):
        event(duration_s=2.0)(waveform())


def test_no_values_of_a_kind_survive_the_text_form() -> None:
    trigger = Composite(**NO_EVENT, **STILL)
    assert "event_hz=," in text(trigger)
    assert build(TRIGGERS, text(trigger)) == trigger
