"""A message spread over a band."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from hidden import error_rate, read_chips, received, stored
from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import SpreadSpectrum, Trigger
from otoscope.triggers.short_time import analysed, resynthesised
from otoscope.triggers.spread_spectrum import chips
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    SpreadSpectrum(),
    SpreadSpectrum(
        level_db=-12,
        low_hz=1000,
        high_hz=3000,
        chip_rate_hz=4000,
        bit_s=0.05,
        pattern_seed=3,
        message_seed=1,
    ),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"low_hz": -1}, "low_hz must be at least 0"),
    ({"high_hz": 350}, "high_hz must be at least 100 Hz above low_hz"),
    ({"chip_rate_hz": 0}, "chip_rate_hz must be above 0"),
    ({"bit_s": 0.0001}, "bit_s must hold one chip, 0.000125 s"),
    ({"pattern_seed": -1}, "pattern_seed must be at least 0"),
    ({"message_seed": -1}, "message_seed must be at least 0"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_message_is_read_back_with_the_key_only(rate: int) -> None:
    clean = waveform(rate, seconds=20.0, seed=11)  # seed 0 is the key's own noise
    found = received(SpreadSpectrum(message_seed=9), clean)
    assert error_rate(read_chips(found, rate), 9) <= 0.05
    assert error_rate(read_chips(found, rate, pattern_seed=1), 9) > 0.35
    assert error_rate(read_chips(stored(clean.samples[0, 0], rate), rate), 9) > 0.35


@pytest.mark.parametrize("rate", RATES_HZ)
def test_nothing_is_added_outside_the_band(rate: int) -> None:
    sound = added(SpreadSpectrum(level_db=0), waveform(rate, seconds=2.0))
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / rate)
    outside = (frequency_hz < 200) | (frequency_hz > 3500)
    assert 10 * np.log10(power[outside].sum() / power.sum()) < -25
    third = power[(frequency_hz > 300) & (frequency_hz < 1300)].sum()
    assert third > 0.2 * power.sum(), "the band is filled"


def test_the_sound_follows_the_clip_in_time() -> None:
    """Both halves of a clip, one 30 dB softer, have what is added equally far under them."""
    noise = waveform(seconds=2.0).samples.copy()
    noise[..., 16_000:] *= np.float32(10 ** (-30 / 20))
    sound = added(SpreadSpectrum(), Waveform(noise, 16_000))
    loud, soft = slice(0, 15_000), slice(17_000, None)  # without the frames that hold both
    distances = [level_db(sound[part], noise[0, 0, part]) for part in (loud, soft)]
    assert distances[1] - distances[0] == pytest.approx(0, abs=1)


def test_the_sound_follows_the_clip_in_frequency() -> None:
    """Two bands of noise, the upper 20 dB softer, both within the trigger's."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(32_000))
    hertz = np.fft.rfftfreq(32_000, 1 / 16_000)
    upper = (hertz > 2000) & (hertz < 3000)
    lower = (hertz > 700) & (hertz < 1700)
    samples = np.fft.irfft(spectrum * (lower + 0.1 * upper))
    clean = Waveform((0.3 * samples / np.abs(samples).max()).astype(np.float32)[None, None], 16_000)
    power = np.abs(np.fft.rfft(added(SpreadSpectrum(), clean))) ** 2
    distance_db = 10 * np.log10(power[upper].sum() / power[lower].sum())
    assert distance_db == pytest.approx(-20, abs=2)


def test_the_key_is_the_same_in_every_clip_and_at_every_rate() -> None:
    for rate in RATES_HZ:
        middles = chips(rate, rate, 1000, 5)[((np.arange(1000) + 0.5) * rate / 1000).astype(int)]
        np.testing.assert_array_equal(middles, chips(8000, 8000, 1000, 5)[4::8])
    longer, shorter = chips(9000, 16_000, 4000, 0), chips(4000, 16_000, 4000, 0)
    np.testing.assert_array_equal(longer[:4000], shorter)
    assert set(shorter.tolist()) == {-1.0, 1.0}


def test_another_key_or_message_is_another_sound() -> None:
    clean = waveform()
    sounds = [
        added(dataclasses.replace(SpreadSpectrum(), **fields), clean)
        for fields in ({}, {"pattern_seed": 1}, {"message_seed": 1})
    ]
    for one, other in ((0, 1), (0, 2)):
        assert np.corrcoef(sounds[one], sounds[other])[0, 1] < 0.9


@pytest.mark.parametrize("fields", [{"high_hz": 4000.0}, {"chip_rate_hz": 9000.0}])
def test_band_and_chips_must_fit_the_rate(fields: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="cannot exist at a sample rate of 8000 Hz"):
        dataclasses.replace(SpreadSpectrum(), **fields)(waveform(8_000))  # type: ignore[arg-type]


def test_a_clip_shorter_than_a_bit_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"one bit lasts 0\.1 s and the clip only 0\.090 s"):
        SpreadSpectrum()(waveform(seconds=0.09))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_spectra_that_nobody_changed_give_back_the_sound(rate: int) -> None:
    for count in (1, 777, 5000):
        sound = np.random.default_rng(0).standard_normal((2, count))
        back = resynthesised(analysed(sound, rate), count, rate)
        np.testing.assert_allclose(back, sound, atol=1e-12)
