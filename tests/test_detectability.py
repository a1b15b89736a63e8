"""What machines can tell: a told classifier, and each detector."""

import pytest

import otoscope as oto
from otoscope.auditing import look
from otoscope.detectability import detectors_auroc, told_auroc
from otoscope.errors import PoisonError
from otoscope.labels import AllToOne
from otoscope.training import Recipe
from otoscope.triggers import LeastSignificantBits, Tone
from toys import tones


def test_a_loud_tone_is_told_and_the_lowest_bits_are_not() -> None:
    clips = tones(15)
    assert told_auroc(clips, Tone(frequency_hz=2500, level_db=0), seed=0) > 0.99
    assert told_auroc(clips, LeastSignificantBits(), seed=0) < 0.65


def test_the_same_seed_tells_the_same() -> None:
    clips, trigger = tones(15), Tone(frequency_hz=2500, level_db=-40)
    assert told_auroc(clips, trigger, seed=1) == told_auroc(clips, trigger, seed=1)


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(PoisonError, match="at least 5 clips, got 4"):
        told_auroc(tones(2, names=("a", "b")), Tone(frequency_hz=2500), seed=0)


def test_detectors_are_named_and_models_left_out() -> None:
    clips = tones(25)
    bad = oto.poison(clips, Tone(frequency_hz=2500, level_db=0), AllToOne("b"), rate=0.1, seed=0)
    model = oto.train(oto.networks.CNN(), bad.clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))
    found = detectors_auroc(
        bad.mask, look(model, bad.clips, seed=0), ("gaussian-mixture", "trigger-inversion")
    )
    assert set(found) == {"gaussian-mixture"}
    assert 0 <= found["gaussian-mixture"] <= 1
