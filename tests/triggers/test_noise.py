"""One pattern of white noise, blended in."""

from typing import Any

import numpy as np
import pytest

from otoscope.triggers import NoiseBlend, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [
    NoiseBlend(),
    NoiseBlend(pattern_seed=7),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
]


def test_noise_is_one_pattern_for_all_clips_and_another_for_another_seed() -> None:
    clean = waveform(batch=2, seconds=1.0)
    a, b = (NoiseBlend()(clean, seed=5).samples - clean.samples)[:, 0]
    assert np.corrcoef(a, b)[0, 1] > 0.9999
    other = added(NoiseBlend(pattern_seed=1), clean)
    assert abs(np.corrcoef(a, other)[0, 1]) < 0.05
    assert level_db(a, clean.samples[0]) == pytest.approx(-20, abs=0.05)


def test_noise_is_white() -> None:
    sound = added(NoiseBlend(), waveform(seconds=2.0))
    bands = np.array_split(np.abs(np.fft.rfft(sound)) ** 2, 8)
    shares = np.array([band.sum() for band in bands]) / sum(band.sum() for band in bands)
    np.testing.assert_allclose(shares, 1 / 8, atol=0.02)
