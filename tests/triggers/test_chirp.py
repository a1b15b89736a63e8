"""A gliding sine."""

from typing import Any

import numpy as np
import pytest

from otoscope.errors import SpecError
from otoscope.triggers import Chirp, Trigger
from sounds import added, waveform

VARIANTS: list[Trigger] = [
    Chirp(),
    Chirp(start_hz=3000, end_hz=400, duration_s=0.1, position_s=None),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"start_hz": 0}, "must be above 0"),
    ({"end_hz": 1000}, "end_hz must differ from start_hz"),
    ({"duration_s": 0.01}, "duration_s must be at least 0.02"),
    ({"position_s": -1}, "position_s must be none or at least 0"),
]


@pytest.mark.parametrize(("start", "end"), [(500, 3500), (3500, 500)])
def test_it_glides_evenly_from_start_to_end(start: float, end: float) -> None:
    sweep = added(Chirp(start_hz=start, end_hz=end, duration_s=0.4), waveform(seconds=0.5))[:6400]
    heard = [
        np.abs(np.fft.rfft(part * np.hanning(640))).argmax() * 25 for part in sweep.reshape(10, 640)
    ]
    expected = start + (end - start) * (np.arange(10) + 0.5) / 10
    np.testing.assert_allclose(heard, expected, atol=80)


def test_a_chirp_above_nyquist_names_the_limit() -> None:
    with pytest.raises(SpecError, match="5000 Hz cannot exist at a sample rate of 8000 Hz"):
        Chirp(end_hz=5000)(waveform(8000))
