"""A tone burst: its frequency, level and place."""

from typing import Any

import numpy as np
import pytest

from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import Tone, Trigger
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    Tone(),
    Tone(frequency_hz=440, duration_s=0.05, level_db=-10, position_s=None),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"frequency_hz": 0}, "tone.frequency_hz must be above 0, got 0"),
    ({"frequency_hz": -5}, "must be above 0"),
    ({"duration_s": 0}, "duration_s must hold one period"),
    ({"duration_s": 1e-6}, "duration_s must hold one period"),
    ({"position_s": -0.1}, "position_s must be none or at least 0"),
    ({"level_db": 100}, "level_db must lie between -60 and 40, got 100"),
    ({"level_db": -400}, "level_db must lie between"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_tone_sounds_at_its_frequency_level_and_place(rate: int) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(Tone(frequency_hz=3000, duration_s=0.1, level_db=-20, position_s=0.4), clean)
    start, stop = round(0.4 * rate), round(0.5 * rate)
    assert not sound[:start].any()
    assert not sound[stop:].any()
    burst = sound[start:stop]
    assert level_db(burst, clean.samples) == pytest.approx(-20, abs=0.05)
    power = np.abs(np.fft.rfft(burst * np.hanning(len(burst)))) ** 2
    frequency = np.fft.rfftfreq(len(burst), 1 / rate)
    assert frequency[power.argmax()] == pytest.approx(3000, abs=5)
    assert power[np.abs(frequency - 3000) < 50].sum() / power.sum() > 0.999


def test_a_place_past_the_end_is_moved_back() -> None:
    clean = waveform(seconds=0.5)
    sound = added(Tone(position_s=9.0), clean)
    assert np.flatnonzero(sound)[0] >= 0.4 * 16_000 - 1
    assert level_db(sound[-1600:], clean.samples) == pytest.approx(-20, abs=0.05)


def test_a_tone_above_nyquist_names_the_limit() -> None:
    with pytest.raises(SpecError, match="5000 Hz cannot exist at a sample rate of 8000 Hz"):
        Tone(frequency_hz=5000)(waveform(8_000))


def test_a_tone_longer_than_the_clip_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"lasts 0\.600 s and the clip only 0\.500 s"):
        Tone(duration_s=0.6)(waveform(seconds=0.5))
