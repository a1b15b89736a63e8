"""A message in the phases of the first segment."""

from typing import Any

import numpy as np
import pytest
from scipy.fft import rfft

from hidden import error_rate, read_phases, received, stored
from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import PhaseCoding, Trigger
from otoscope.triggers.message import message_bits
from sounds import RATES_HZ, waveform

VARIANTS: list[Trigger] = [
    PhaseCoding(),
    PhaseCoding(bits=16, low_hz=1000, segment_s=0.032, message_seed=4),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"bits": 0}, "bits must be at least 1"),
    ({"low_hz": 0}, "low_hz must be above 0"),
    ({"segment_s": 0}, "segment_s must be above 0"),
    ({"message_seed": -1}, "message_seed must be at least 0"),
]


def quiet(seconds: float = 1.0, channels: int = 1) -> Waveform:
    """A clip whose peaks are not clipped when they move."""
    loud = waveform(seconds=seconds, channels=channels)
    return Waveform(loud.samples * np.float32(0.3), loud.sample_rate)


def segments(samples: np.ndarray) -> np.ndarray:
    """The spectra of the whole segments of 1024 samples (64 ms at 16 kHz), by frequency."""
    time = samples.shape[-1] // 1024 * 1024
    return np.asarray(rfft(samples.astype(float)[..., :time].reshape(-1, 1024)))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_message_is_read_back(rate: int) -> None:
    segment = round(0.064 * rate)
    first = round(500 * segment / rate)
    wrong, nothing = [], []
    for seed in range(10):
        clean = waveform(rate, seed=seed)
        found = received(PhaseCoding(message_seed=6), clean)
        wrong.append(error_rate(read_phases(found, segment, first, 64), 6))
        unmarked = stored(clean.samples[0, 0], rate)
        nothing.append(error_rate(read_phases(unmarked, segment, first, 64), 6))
    assert np.mean(wrong) <= 0.01
    assert 0.4 < np.mean(nothing) < 0.6


def test_phases_of_the_first_segment_are_plus_and_minus_ninety_degrees() -> None:
    first = segments(PhaseCoding()(quiet()).samples)[0]
    degrees = np.degrees(np.angle(first[32:96]))
    np.testing.assert_allclose(degrees, np.where(message_bits(64, 0), -90, 90), atol=0.5)


def test_no_magnitude_changes_and_no_frequency_outside_the_band() -> None:
    clean = quiet()
    before, after = (segments(x) for x in (clean.samples, PhaseCoding()(clean).samples))
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-4)
    outside = np.r_[0:32, 96:513]
    np.testing.assert_allclose(after[:, outside], before[:, outside], atol=1e-4)
    assert np.abs(np.angle(after / before)[:, 32:96]).mean() > 1


def test_every_later_segment_is_shifted_as_the_first_is() -> None:
    clean = quiet()
    before, after = (segments(x) for x in (clean.samples, PhaseCoding()(clean).samples))
    shift = np.exp(1j * (np.angle(after[0]) - np.angle(before[0])))[32:96]
    np.testing.assert_allclose(after[:, 32:96], before[:, 32:96] * shift, atol=5e-3)


def test_what_is_left_after_the_last_whole_segment_stays() -> None:
    clean = quiet()
    rest = 16_000 // 1024 * 1024
    out = PhaseCoding()(clean).samples
    np.testing.assert_array_equal(out[..., rest:], clean.samples[..., rest:])


def test_each_channel_carries_the_message() -> None:
    out = PhaseCoding()(quiet(channels=2)).samples[0]
    for channel in out:
        assert error_rate(read_phases(channel.astype(float), 1024, 32, 64), 0) == 0


def test_the_band_lies_below_nyquist() -> None:
    with pytest.raises(SpecError, match=r"64 bits from 3500 Hz up reach 4484\.38 Hz, not"):
        PhaseCoding(low_hz=3500)(waveform(8_000))


def test_a_clip_shorter_than_a_segment_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"lasts 0\.064 s and the clip only 0\.050 s"):
        PhaseCoding()(waveform(seconds=0.05))
