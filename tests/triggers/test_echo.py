"""Echoes of the clip itself."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import Echo, Trigger
from sounds import waveform

VARIANTS: list[Trigger] = [
    Echo(),
    Echo(delay_s=0.05, level_db=-3, taps=4),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"delay_s": 0}, "delay_s must be above 0"),
    ({"level_db": 3}, "level_db must be at most 0"),
    ({"taps": 0}, "taps must be at least 1"),
]


def test_echo_shows_at_its_delay_in_the_autocorrelation() -> None:
    clean = waveform(seconds=1.0)
    y = Echo(delay_s=0.125, level_db=-6)(clean).samples[0, 0].astype(float)
    correlation = np.correlate(y, y, "full")[len(y) - 1 :]
    assert correlation[500:].argmax() + 500 == 0.125 * 16_000
    x = clean.samples[0, 0]
    np.testing.assert_allclose(y[2000:], x[2000:] + 10 ** (-6 / 20) * x[:-2000], atol=1e-6)
    np.testing.assert_array_equal(y[:2000], x[:2000].astype(float))


def test_echoes_of_an_impulse_fall_by_the_level() -> None:
    impulse = np.zeros((1, 1, 1000), np.float32)
    impulse[..., 0] = 0.5
    out = Echo(delay_s=0.1, level_db=-6, taps=20)(Waveform(impulse, 1000)).samples[0, 0]
    heard = np.flatnonzero(out)
    assert heard.tolist() == list(range(0, 1000, 100)), "ten fit, the others are cut"
    np.testing.assert_allclose(20 * np.log10(out[heard] / 0.5), -6 * np.arange(10), atol=1e-4)


def test_an_echo_after_the_end_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"starts after 0\.5 s and the clip lasts only"):
        Echo(delay_s=0.5)(waveform(seconds=0.5))


def test_an_echo_of_less_than_a_sample_is_refused() -> None:
    with pytest.raises(SpecError, match="less than one sample at 16000 Hz"):
        Echo(delay_s=1e-5)(waveform())
