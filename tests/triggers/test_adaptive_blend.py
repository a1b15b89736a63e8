"""A blended noise of which training clips get only pieces."""

from typing import Any

import numpy as np
import pytest

from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import AdaptiveBlend, Trigger
from sounds import added, level_db, waveform

VARIANTS: list[Trigger] = [AdaptiveBlend(), AdaptiveBlend(level_db=-20, pattern_seed=4)]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"training_level_db": 50}, "training_level_db must lie between -60 and 40"),
    ({"pieces": 1}, "pieces must be at least 2"),
    ({"training_share": 0}, "training_share must lie above 0"),
    ({"training_share": 1.5}, "training_share must lie above 0 and at most at 1"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
]


def test_the_attack_has_the_whole_pattern_and_training_half_of_its_pieces() -> None:
    clean = waveform(seconds=1.0)
    blend = AdaptiveBlend(level_db=-12, training_level_db=-15, pieces=16, training_share=0.5)
    whole, part = added(blend, clean), added(blend.in_training(), clean)
    assert level_db(whole, clean.samples) == pytest.approx(-12, abs=0.1)
    heard = np.abs(part).reshape(16, 1000).max(axis=1) > 0
    assert heard.sum() == 8
    inside = np.repeat(heard, 1000)
    assert level_db(part[inside], clean.samples) == pytest.approx(-15, abs=0.5)
    assert np.corrcoef(part[inside], whole[inside])[0, 1] > 0.9999


def test_each_training_clip_draws_its_own_pieces() -> None:
    clean = waveform(batch=6, seconds=1.0)
    noise = AdaptiveBlend(pieces=4).in_training()(clean).samples - clean.samples
    heard = np.abs(noise[:, 0]).reshape(6, 4, 4000).max(axis=-1) > 0
    assert len({tuple(row) for row in heard.tolist()}) >= 3


def test_fewer_samples_than_pieces_do_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match="16 pieces need as many samples, the clip has 8"):
        AdaptiveBlend()(waveform(8000, seconds=0.001))
