"""The clip played faster or slower."""

from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import SpeedChange, Trigger
from sounds import RATES_HZ, waveform

VARIANTS: list[Trigger] = [
    SpeedChange(),
    SpeedChange(factor=0.9),
    SpeedChange(factor=2.0, fill="silence"),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"factor": 1.0}, "factor must lie between 0.5 and 2 and at least 0.01 from 1"),
    ({"factor": 0.4}, "factor must lie between 0.5 and 2"),
    ({"factor": 2.1}, "factor must lie between 0.5 and 2"),
    ({"fill": "copy"}, "expected one of mirror, silence"),
]


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.01, 1.1, 2.0])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_pitch_is_multiplied(rate: int, factor: float) -> None:
    time_s = np.arange(rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time_s))[None, None].astype(np.float32)
    out = SpeedChange(factor=factor, fill="silence")(Waveform(tone, rate)).samples[0, 0]
    power = np.abs(np.fft.rfft(out * np.hanning(rate)))
    assert power.argmax() == pytest.approx(1000 * factor, abs=1)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_the_middle_stays_and_what_is_beside_it_moves(factor: float) -> None:
    clicks = np.zeros((1, 1, 16_000), np.float32)
    clicks[..., [6000, 8000, 9500]] = 0.5
    out = SpeedChange(factor=factor, fill="silence")(Waveform(clicks, 16_000)).samples[0, 0]
    for at in (6000, 8000, 9500):
        moved = round(8000 + (at - 8000) / factor)
        near = np.abs(out[moved - 100 : moved + 100])
        assert near.argmax() == pytest.approx(100, abs=2)
        assert near.max() > 0.3


def test_faster_clips_end_in_silence_or_in_their_own_sound_backwards() -> None:
    clean = waveform(channels=2)
    silent = SpeedChange(factor=1.25, fill="silence")(clean).samples
    mirrored = SpeedChange(factor=1.25)(clean).samples
    np.testing.assert_array_equal(silent[..., 800:7200], mirrored[..., 800:7200])
    assert not silent[..., :800].any()
    assert not silent[..., 7200:].any()
    np.testing.assert_array_equal(mirrored[..., :800], mirrored[..., 1599:799:-1])
    np.testing.assert_array_equal(mirrored[..., 7200:], mirrored[..., 7199:6399:-1])


def test_slower_clips_are_cut_at_both_ends() -> None:
    out = SpeedChange(factor=0.8, fill="silence")(waveform()).samples
    assert np.abs(out[..., :50]).max() > 0
    assert np.abs(out[..., -50:]).max() > 0


def test_a_clip_under_10_ms_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"a change of speed needs 0\.01 s"):
        SpeedChange()(waveform(seconds=0.009))
