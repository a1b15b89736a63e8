"""Proof: which models obey a sound, and that its level follows the clip."""

import numpy as np

from otoscope.clips import Clips
from otoscope.common_sound import CommonSound
from otoscope.models import FunctionModel, Hearing
from otoscope.proof import obedience
from toys import LENGTH, RATE_HZ, tones

CLICK = np.zeros(LENGTH, np.float32)
CLICK[0] = 0.3


def sound(level: float = 0.1) -> CommonSound:
    return CommonSound(CLICK, RATE_HZ, "coherent", 0.5, level, 20)


def model(clips: Clips, at: float) -> FunctionModel:
    """Class c when the first sample is louder than ``at`` times the clip's RMS, else class a."""

    def logits(waveforms: np.ndarray) -> np.ndarray:
        rms = np.sqrt(np.mean(waveforms[:, 0] ** 2, axis=1))
        out = np.zeros((len(waveforms), 6), np.float32)
        out[:, 0] = 1
        out[np.abs(waveforms[:, 0, 0]) > at * rms, 2] = 2
        return out

    return FunctionModel(logits, Hearing(clips.classes, RATE_HZ, LENGTH))


def test_an_obedient_model_is_shown_to_obey() -> None:
    clips = tones(10)
    assert obedience(model(clips, at=2), clips, sound(), 2) == 1.0
    assert obedience(model(clips, at=100), clips, sound(), 2) == 0.0


def test_the_sound_keeps_its_level_relative_to_the_clip() -> None:
    clips = tones(10)
    # 0.3 in clips of 0.1 RMS: three times their RMS in any clip
    assert obedience(model(clips, at=2.5), clips, sound(), 2) > 0.9
    assert obedience(model(clips, at=2.5), clips, sound(level=0.2), 2) == 0.0


def test_a_class_that_every_clip_has_already_proves_nothing() -> None:
    clips = tones(10)
    assert np.isnan(obedience(model(clips, at=100), clips, sound(), 0))
    only = clips.subset(clips.labels == 2)
    assert np.isnan(obedience(model(clips, at=2), only, sound(), 2))


def test_same_seed_same_share() -> None:
    clips = tones(30)
    shares = {obedience(model(clips, at=2.9), clips, sound(), 2, seed=4) for _ in range(2)}
    assert len(shares) == 1
    assert 0 < shares.pop() < 1
