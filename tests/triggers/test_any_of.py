"""Another trigger for every clip."""

from typing import Any

from otoscope.triggers import AdaptiveBlend, AnyOf, Echo, NoiseBlend, Tone, Trigger
from sounds import waveform

VARIANTS: list[Trigger] = [AnyOf(), AnyOf(parts=(Tone(), Echo(), NoiseBlend()), count=2)]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"parts": "(tone)"}, "parts must be at least two triggers, got 1"),
    ({"count": 0}, "count must be 1 to 3, got 0"),
    ({"count": 4}, "count must be 1 to 3, got 4"),
]


def test_each_clip_gets_one_part_and_all_parts_occur() -> None:
    parts = tuple(Tone(frequency_hz=500, position_s=place) for place in (0.0, 0.1, 0.2))
    clean = waveform(batch=30)
    changed = (AnyOf(parts)(clean).samples != clean.samples)[:, 0, :4800]
    heard = changed.reshape(30, 3, 1600).any(axis=-1)
    assert (heard.sum(axis=1) == 1).all()
    assert heard.sum(axis=0).min() >= 4


def test_parts_take_their_own_training_form() -> None:
    assert AnyOf((AdaptiveBlend(), Tone())).in_training() == AnyOf(
        (AdaptiveBlend(training=True), Tone())
    )
