"""Paths of stochastic processes."""

from typing import Any

import numpy as np
import pytest

from otoscope.triggers import Drift, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [Drift(), Drift(process="hull-white", reversion_hz=50, pattern_seed=3)]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"process": "heston"}, "expected one of vasicek, hull-white"),
    ({"reversion_hz": 0}, "reversion_hz must lie between 1 and 10000"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
]


def test_a_path_forgets_at_its_rate() -> None:
    """The autocorrelation of an Ornstein-Uhlenbeck process falls as exp(-rate x lag)."""
    path = added(Drift(reversion_hz=500), waveform(seconds=8.0))
    lag = 32  # 2 ms at 16 kHz: one part in e
    correlation = np.mean(path[:-lag] * path[lag:]) / np.mean(path**2)
    assert correlation == pytest.approx(np.exp(-1), abs=0.05)


def test_all_clips_carry_one_path_and_another_seed_another() -> None:
    clean = waveform(batch=2, seconds=1.0)
    a, b = (Drift()(clean).samples - clean.samples)[:, 0]
    assert np.corrcoef(a, b)[0, 1] > 0.9999
    assert abs(np.corrcoef(a, added(Drift(pattern_seed=9), waveform(seconds=1.0)))[0, 1]) < 0.3
    assert level_db(a, clean.samples[0]) == pytest.approx(-20, abs=0.1)


def test_hull_white_swings_four_times() -> None:
    path = added(Drift(process="hull-white", reversion_hz=2000), waveform(seconds=4.0))
    slow = np.abs(np.fft.rfft(path))[1:20]
    assert slow.argmax() + 1 == 4
