"""The universal perturbation: one crafted sound over the whole clip."""

from typing import Any

import numpy as np
import pytest

from crafted import noise_pattern
from otoscope.triggers import Trigger, UniversalPerturbation
from sounds import added, level_db, waveform

FILE = noise_pattern("universal", 0.5)

VARIANTS: list[Trigger] = [
    UniversalPerturbation(FILE),
    UniversalPerturbation(FILE, level_db=-20.0, steps=10),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps must be at least 1, got 0"),
]


def test_it_covers_the_clip_at_its_level() -> None:
    clean = waveform(seconds=0.5)
    sound = added(UniversalPerturbation(FILE), clean)
    assert np.count_nonzero(sound) > 0.99 * len(sound)
    assert level_db(sound, clean.samples) == pytest.approx(-30.0, abs=0.05)


def test_a_longer_clip_gets_it_again() -> None:
    sound = added(UniversalPerturbation(FILE, level_db=0.0), waveform(seconds=1.5))
    np.testing.assert_allclose(sound[:8000], sound[8000:16_000], atol=2e-6)


def test_every_clip_gets_the_same_sound() -> None:
    loud, other = (
        added(UniversalPerturbation(FILE, level_db=0.0), waveform(seconds=0.5, seed=seed))
        for seed in (0, 1)
    )
    assert np.corrcoef(loud, other)[0, 1] > 0.999
