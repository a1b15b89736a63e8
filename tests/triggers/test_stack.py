"""Several triggers in one clip."""

from typing import Any

import numpy as np
import pytest

from otoscope.triggers import AdaptiveBlend, AnyOf, Echo, NoiseBlend, Stack, Tone, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [
    Stack(),
    Stack(parts=(Tone(frequency_hz=500), Echo()), training_parts=1),
    Stack(parts=(Stack(), NoiseBlend())),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"parts": "(tone)"}, "parts must be at least two triggers, got 1"),
    ({"parts": "(tone)+(tome)"}, "did you mean 'tone'"),
    ({"parts": "(tone)+(echo", "training_parts": 1}, "brackets .* do not match"),
    ({"training_parts": 0}, "training_parts must be none or 1 to 3"),
    ({"training_parts": 4}, "training_parts must be none or 1 to 3"),
]


def test_all_parts_sound() -> None:
    low, high = Tone(frequency_hz=500, position_s=0.0), Tone(frequency_hz=2000, position_s=0.3)
    clean = waveform(seconds=1.0)
    sound = added(Stack(parts=(low, high)), clean)
    alone = added(low, clean) + added(high, clean)
    assert level_db(sound - alone, sound) < -40, "the second is levelled on the clip with the first"
    assert sound[:1600].any()
    assert sound[4800:6400].any()
    assert not sound[1600:4800].any()


def test_training_clips_get_some_parts_of_those_the_attack_has() -> None:
    parts = tuple(Tone(frequency_hz=500, position_s=place) for place in (0.0, 0.1, 0.2, 0.3))
    stack = Stack(parts, training_parts=2)
    assert stack.in_training() == AnyOf(parts, 2)
    clean = waveform(batch=20)
    changed = (stack.in_training()(clean).samples != clean.samples)[:, 0, :6400]
    heard = changed.reshape(20, 4, 1600).any(axis=-1)
    assert (heard.sum(axis=1) == 2).all()
    assert heard.any(axis=0).all(), "every part is heard somewhere"
    assert (stack(clean).samples != clean.samples)[:, 0, :6400].reshape(20, 4, -1).any(-1).all()


def test_parts_take_their_own_training_form() -> None:
    stack = Stack((AdaptiveBlend(), Tone()))
    assert stack.in_training() == Stack((AdaptiveBlend(training=True), Tone()))


@pytest.mark.parametrize("seed", [0, 1])
def test_random_parts_draw_for_themselves(seed: int) -> None:
    twice = Stack((Tone(position_s=None), Tone(position_s=None)))
    sound = added_by(twice, seed)
    first = int(np.flatnonzero(sound)[0])
    assert sound[first + 1600 :].any(), "two tones, two places"


def added_by(trigger: Trigger, seed: int) -> np.ndarray:
    clean = waveform(seconds=2.0)
    return (trigger(clean, seed).samples - clean.samples)[0, 0]
