"""What triggers do to clips, and what a detector that knows some of them catches of others."""

import numpy as np
import pytest

from otoscope.errors import SpecError
from otoscope.redteam import signatures
from otoscope.triggers import EqualiserTilt, Tone
from sounds import clips_of

CLIPS = clips_of("abc")


def test_acoustic_features_tell_where_a_trigger_sounds() -> None:
    tone = signatures.acoustic_features(Tone(position_s=0.0), CLIPS, 0).reshape(6, -1)
    assert tone[0].max() > 10 * np.abs(tone[3:]).max()
    tilt = signatures.acoustic_features(EqualiserTilt(tilt_db_per_octave=6), CLIPS, 0).reshape(
        6, -1
    )
    assert (tilt[:, -1] > tilt[:, 0] + 10).all(), "in decibels"


def test_what_was_fitted_on_some_attacks_catches_alike_ones_only() -> None:
    clips = clips_of("a" * 60)
    alike = [Tone(frequency_hz=hz, level_db=0.0) for hz in (2900, 3000, 3100, 3200)]
    (share,) = signatures.caught_next(alike, clips, [2], 0, orders=4)
    assert share > 0.9
    other = [Tone(frequency_hz=500, level_db=0.0), Tone(frequency_hz=6000, level_db=0.0)]
    (share,) = signatures.caught_next(other, clips, [1], 0, orders=4)
    assert share < 0.3
    with pytest.raises(SpecError, match="from 1 to 1"):
        signatures.caught_next(other, clips, [2], 0)
    with pytest.raises(SpecError, match="two clips"):
        signatures.caught_next(other, clips.subset([0]), [1], 0)
