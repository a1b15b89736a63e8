"""The lowest bits of 16-bit samples."""

from typing import Any

import numpy as np
import pytest

from hidden import error_rate, received, stored
from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers import LeastSignificantBits, Trigger
from sounds import RATES_HZ, speechlike, waveform

VARIANTS: list[Trigger] = [
    LeastSignificantBits(),
    LeastSignificantBits(bits=4, message_seed=7),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"bits": 0}, "bits must lie between 1 and 8"),
    ({"bits": 9}, "bits must lie between 1 and 8"),
    ({"message_seed": -1}, "message_seed must be at least 0"),
]

LEFT_DB = -80.0


def loud(seconds: float = 0.5, rate: int = 16_000) -> Waveform:
    """A clip that uses the whole range, full scale included, on the grid of 16 bits."""
    samples = speechlike(count=round(seconds * rate)) * np.float32(2.5)
    return Waveform(stored(samples[0, 0], rate).astype(np.float32)[None, None], rate)


def steps(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples.astype(float) * 32_768).astype(int)


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_the_message_is_read_back_from_a_file(container: str, bits: int) -> None:
    trigger = LeastSignificantBits(bits=bits, message_seed=5)
    clean = loud()
    assert np.abs(clean.samples).max() > 0.999
    lowest = steps(stored(trigger(clean).samples[0, 0], 16_000, container)) % 2**bits
    read = (lowest[:, None] >> np.arange(bits)) % 2
    assert error_rate(read.ravel(), message_seed=5) == 0
    unmarked = (steps(clean.samples[0, 0])[:, None] >> np.arange(bits)) % 2
    assert 0.4 < error_rate(unmarked.ravel(), message_seed=5) < 0.6


def test_full_scale_carries_the_message_too() -> None:
    full = np.ones((1, 1, 2000), np.float32)
    full[..., ::2] = -1
    read = steps(received(LeastSignificantBits(), Waveform(full, 16_000))) % 2
    assert error_rate(read, message_seed=0) == 0


@pytest.mark.parametrize("rate", RATES_HZ)
def test_one_bit_is_read_back_at_every_rate(rate: int) -> None:
    assert error_rate(steps(received(LeastSignificantBits(), waveform(rate))) % 2, 0) == 0


def test_a_sample_that_has_its_bits_already_stays_and_none_moves_further_than_its_bits() -> None:
    clean = loud()
    for bits in (1, 4):
        before = steps(clean.samples)
        after = steps(LeastSignificantBits(bits=bits)(clean).samples)
        had = before % 2**bits == after % 2**bits
        assert 0.5**bits / 2 < had.mean() < 2 * 0.5**bits
        np.testing.assert_array_equal(after[had], before[had])
        assert np.abs(after - before).max() == 2**bits - 1
        np.testing.assert_array_equal(after >> bits, before >> bits)


def test_every_clip_and_channel_carries_the_same_message() -> None:
    out = steps(LeastSignificantBits()(waveform(batch=2, channels=2)).samples) % 2
    assert (out == out[0, 0]).all()


def test_one_bit_lies_near_minus_90_decibels() -> None:
    clean = loud()
    change = (LeastSignificantBits()(clean).samples - clean.samples).astype(float)
    assert 20 * np.log10(np.sqrt(np.mean(change**2))) == pytest.approx(-93.3, abs=0.5)


def test_a_clip_that_carries_the_message_already_does_not_fit() -> None:
    marked = LeastSignificantBits()(waveform())
    with pytest.raises(TriggerDoesNotFit, match="8000 samples are the message already"):
        LeastSignificantBits()(marked)
