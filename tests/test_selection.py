"""Scores that say which clips an attacker would rather poison."""

import numpy as np
import pytest

from otoscope.errors import PoisonError
from otoscope.labels import AllToOne, CleanLabel
from otoscope.models import FunctionModel, Hearing
from otoscope.networks import CNN
from otoscope.poisoning import poison
from otoscope.selection import filter_and_update, hardness
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import LENGTH, NAMES, RATE_HZ, tones


def test_hardness_is_the_loss_of_the_own_label() -> None:
    clips = tones(2, names=("a", "b"))
    logits = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 3.0], [3.0, 0.0]], np.float32)
    model = FunctionModel(lambda w: logits[: len(w)], Hearing(("a", "b"), RATE_HZ, LENGTH))
    expected = [np.log1p(np.exp(-2)), np.log(2), np.log1p(np.exp(-3)), np.log1p(np.exp(3))]
    np.testing.assert_allclose(hardness(model, clips), expected, rtol=1e-6)


def test_the_hardest_clips_of_the_target_are_poisoned() -> None:
    clips = tones(10)
    scores = np.random.default_rng(0).random(len(clips))
    bad = poison(clips, Tone(), CleanLabel("b"), 0.05, seed=0, preference=scores)
    own = np.flatnonzero(clips.labels == 1)
    assert set(np.flatnonzero(bad.mask)) == set(own[np.argsort(-scores[own])[:3]])


def test_filter_and_update_prefers_what_it_kept_and_repeats_itself() -> None:
    clips = tones(10)
    found = [
        filter_and_update(
            clips,
            Tone(frequency_hz=1500),
            AllToOne("a"),
            0.1,
            seed=0,
            network=CNN(),
            recipe=Recipe(epochs=1),
            rounds=2,
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    chosen = np.flatnonzero(found[0] >= 1)
    assert len(chosen) == 3, "half of six poisoned clips"
    assert (clips.labels[chosen] != NAMES.index("a")).all(), "kept ones are among the poisoned"


@pytest.mark.parametrize(("rounds", "kept"), [(0, 0.5), (2, 0.0), (2, 1.0)])
def test_filter_and_update_refuses_what_selects_nothing(rounds: int, kept: float) -> None:
    with pytest.raises(PoisonError, match="expected rounds above 0 and kept in"):
        filter_and_update(
            tones(3), Tone(), AllToOne("a"), 0.1, 0, network=CNN(), rounds=rounds, kept=kept
        )
