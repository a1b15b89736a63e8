"""The input-aware trigger: a crafted network gives every clip a sound of its own."""

from typing import Any

import numpy as np
import pytest

from crafted import crafted_file
from otoscope.triggers import InputAware, Trigger
from sounds import added, level_db, waveform


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"hear": (6, 1, 32), "mix": (6, 6, 3), "mix.bias": (6,), "speak": (6, 1, 32)}
    return {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}


FILE = crafted_file("input-aware", weights())

VARIANTS: list[Trigger] = [
    InputAware(FILE),
    InputAware(FILE, level_db=-20.0, steps=20, diversity=0.5, cross=0.0),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"diversity": -1}, "diversity must be at least 0, got -1"),
    ({"cross": -1}, "cross must be at least 0, got -1"),
]


def test_two_clips_get_two_sounds_at_one_level() -> None:
    one, two = waveform(seed=0), waveform(seed=1)
    sounds = [added(InputAware(FILE), clip) for clip in (one, two)]
    assert abs(np.corrcoef(*sounds)[0, 1]) < 0.5
    for clip, sound in zip((one, two), sounds, strict=True):
        assert level_db(sound, clip.samples) == pytest.approx(-10.0, abs=0.05)


def test_a_louder_clip_gets_the_same_sound_louder() -> None:
    clean = waveform()
    softer = type(clean)(clean.samples * np.float32(0.25), clean.sample_rate)
    loud, soft = (added(InputAware(FILE), clip) for clip in (clean, softer))
    np.testing.assert_allclose(loud * 0.25, soft, atol=1e-6)
