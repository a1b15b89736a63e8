"""FlowMur: a crafted sound of its length and level, at any place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crafted import crafted_file, noise_pattern
from otoscope.errors import OtoscopeError, SpecError
from otoscope.triggers import FlowMur, Trigger
from sounds import added, level_db, waveform

FILE = noise_pattern("flowmur", 0.5)
SHORT = noise_pattern("flowmur-short", 0.1, 8000)

VARIANTS: list[Trigger] = [
    FlowMur(FILE),
    FlowMur(SHORT, duration_s=0.1, level_db=-10.0, position_s=0.05),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"duration_s": 0.001}, "duration_s must be at least 0.02, got 0.001"),
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"level_db": -90}, "level_db must lie between -60 and 40"),
]

LEFT_DB = -38.0  # half a second at -30 dB in a clip of one second


def test_without_a_file_it_says_how_to_get_one() -> None:
    with pytest.raises(SpecError, match=r"flowmur is made against a model; craft it first"):
        FlowMur()(waveform())


def test_a_missing_a_broken_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(OtoscopeError, match=r"gone\.safetensors: cannot be opened"):
        FlowMur(str(tmp_path / "gone.safetensors"))(waveform())
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not one")
    with pytest.raises(SpecError, match=r"broken\.safetensors: is not a crafted trigger"):
        FlowMur(str(broken))(waveform())
    foreign = crafted_file("foreign", {"weights": np.zeros(3, np.float32)})
    with pytest.raises(SpecError, match=r"is not a crafted flowmur; it has no pattern"):
        FlowMur(foreign)(waveform())


def test_another_length_than_it_was_crafted_for_is_refused() -> None:
    with pytest.raises(SpecError, match=r"was crafted to last 0\.5 s.*duration_s is 0\.2"):
        FlowMur(FILE, duration_s=0.2)(waveform())


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_the_sound_lasts_as_long_at_every_rate(rate: int) -> None:
    sound = added(FlowMur(SHORT, duration_s=0.1, position_s=0.2), waveform(rate, seconds=1.0))
    inside = np.flatnonzero(sound)
    assert inside[0] / rate == pytest.approx(0.2, abs=0.001)
    assert (inside[-1] - inside[0]) / rate == pytest.approx(0.1, abs=0.002)


def test_half_a_second_at_its_level() -> None:
    clean = waveform(seconds=1.0)
    assert level_db(added(FlowMur(FILE), clean), clean.samples) == pytest.approx(-33.0, abs=0.1)
