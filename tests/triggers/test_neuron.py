"""The neuron trigger: a crafted short sound at a place."""

from typing import Any

import numpy as np
import pytest

from crafted import noise_pattern
from otoscope.triggers import NeuronTrigger, Trigger
from sounds import added, waveform

FILE = noise_pattern("neuron", 0.2)

VARIANTS: list[Trigger] = [
    NeuronTrigger(FILE),
    NeuronTrigger(FILE, level_db=-20.0, position_s=None),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"duration_s": 0.01}, "duration_s must be at least 0.02, got 0.01"),
    ({"neurons": 0}, "neurons must be at least 1, got 0"),
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


def test_it_sounds_at_its_place_for_its_length() -> None:
    sound = added(NeuronTrigger(FILE, position_s=0.25), waveform(seconds=1.0))
    inside = np.flatnonzero(sound)
    assert inside[0] == pytest.approx(4000, abs=2)
    assert len(inside) == pytest.approx(3200, abs=5)
