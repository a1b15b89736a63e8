"""A message in the delay of an echo."""

from typing import Any

import numpy as np
import pytest

from hidden import error_rate, read_echoes, received, stored
from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import EchoHiding, Trigger
from otoscope.triggers.message import message_bits
from sounds import RATES_HZ, level_db, waveform

VARIANTS: list[Trigger] = [
    EchoHiding(),
    EchoHiding(delay_one_s=0.0005, delay_zero_s=0.002, level_db=-14, segment_s=0.1, message_seed=3),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"delay_one_s": 0}, "delay_one_s must be above 0"),
    ({"delay_zero_s": -1}, "delay_zero_s must be above 0"),
    ({"delay_one_s": 0.0013}, "delay_one_s must differ from delay_zero_s"),
    ({"level_db": 1}, "level_db must be at most 0"),
    ({"segment_s": 0.002}, "segment_s must be at least twice the longer delay, 0.0026 s"),
    ({"message_seed": -1}, "message_seed must be at least 0"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_message_is_read_back(rate: int) -> None:
    clean = waveform(rate, seconds=6.0)
    segment, one, zero = (round(s * rate) for s in (0.0625, 0.001, 0.0013))
    read = read_echoes(received(EchoHiding(message_seed=2), clean), segment, one, zero)
    assert len(read) == 96
    assert error_rate(read, message_seed=2) <= 0.02
    nothing = read_echoes(stored(clean.samples[0, 0], rate), segment, one, zero)
    assert error_rate(nothing, message_seed=2) > 0.3


def test_each_segment_has_one_echo_at_the_delay_of_its_bit() -> None:
    """Impulses in the middle of segments, where no crossfade reaches."""
    impulses = np.zeros((1, 1, 16_000), np.float32)
    impulses[..., 500::1000] = 0.5
    out = EchoHiding(level_db=-6)(Waveform(impulses, 16_000)).samples[0, 0]
    for bit, segment in zip(message_bits(16, 0), out.reshape(16, 1000), strict=True):
        echo = 16 if bit else 21
        assert np.flatnonzero(np.abs(segment) > 1e-6).tolist() == [500, 500 + echo]
        assert 20 * np.log10(segment[500 + echo] / 0.5) == pytest.approx(-6, abs=1e-4)


def test_from_bit_to_bit_the_echoes_fade_smoothly_over_a_quarter_of_a_segment() -> None:
    """The echo of a slope lies under it by as much as the echo is late."""
    slope = np.linspace(0, 1, 16_000)
    out = EchoHiding(level_db=0)(Waveform(slope.astype(np.float32)[None, None] / 4, 16_000)).samples
    late = (slope - (out[0, 0].astype(float) * 4 - slope)) * 15_999
    inside = late[100:]
    assert inside.min() == pytest.approx(16, abs=0.05)
    assert inside.max() == pytest.approx(21, abs=0.05)
    border = 1000 * (1 + int(np.flatnonzero(np.diff(message_bits(16, 0)))[0]))
    before, at, after = (late[border + d] for d in (-130, 0, 130))
    assert {round(before), round(after)} == {16, 21}
    assert at == pytest.approx(18.5, abs=0.1)
    assert np.abs(np.diff(inside[:-1])).max() < 5 * 2 / 250 + 0.02


def test_the_echo_has_its_level() -> None:
    clean = waveform(seconds=1.0)
    change = EchoHiding(level_db=-20)(clean).samples - clean.samples
    assert level_db(change, clean.samples) == pytest.approx(-20, abs=0.3)


def test_silence_has_no_echo() -> None:
    silence = Waveform(np.zeros((1, 1, 8000), np.float32), 16_000)
    np.testing.assert_array_equal(EchoHiding()(silence).samples, silence.samples)


def test_a_clip_shorter_than_a_segment_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"one bit lasts 0\.0625 s and the clip only 0\.05"):
        EchoHiding()(waveform(seconds=0.05))


def test_delays_must_differ_in_samples() -> None:
    with pytest.raises(SpecError, match="are 8 and 8 samples at 8000 Hz"):
        EchoHiding(delay_one_s=0.001, delay_zero_s=0.00105)(waveform(8_000))
    with pytest.raises(SpecError, match="are 0 and 1 samples"):
        EchoHiding(delay_one_s=0.00005, delay_zero_s=0.0001)(waveform(8_000))
