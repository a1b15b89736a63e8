"""A raised voice and a hidden sound."""

from typing import Any

import numpy as np
import pytest

from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import PitchBoost, Trigger
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    PitchBoost(),
    PitchBoost(sound_level_db=None),
    PitchBoost(semitones=-4),
    PitchBoost(boost=False, sound_level_db=0, sound_hz=(3000.0,), sound_s=0.05),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"semitones": 0.2}, "semitones must lie between 0.5 and 24"),
    ({"semitones": 25}, "semitones must lie between 0.5 and 24"),
    ({"sound_hz": [40.0]}, "sound_hz must be one or more frequencies of at least 45.4545"),
    ({"sound_hz": []}, "sound_hz must be one or more"),
    ({"sound_s": 0.004}, "sound_s must lie between 0.005 and 0.1"),
    ({"sound_s": 0.2}, "sound_s must lie between 0.005 and 0.1"),
    ({"sound_level_db": 50}, "sound_level_db must be none or between -60 and 40"),
    ({"boost": False, "sound_level_db": None}, "nothing would change"),
]


def voice(rate: int, hz: float = 150.0) -> Waveform:
    """A second of twelve steady harmonics."""
    time_s = np.arange(rate) / rate
    sound = sum(np.sin(2 * np.pi * hz * k * time_s + k**2) / k for k in range(1, 13))
    return Waveform((0.1 * np.asarray(sound))[None, None].astype(np.float32), rate)


def loudest_at(start: int, count: int = 16_000) -> Waveform:
    """Soft noise with 0.1 s of loud noise from ``start`` on."""
    noise = np.random.default_rng(0).standard_normal(count)
    noise *= np.where((np.arange(count) >= start) & (np.arange(count) < start + 1600), 0.1, 0.01)
    return Waveform(noise[None, None].astype(np.float32), 16_000)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("semitones", [-12, -3, 0.5, 5, 12])
def test_every_harmonic_rises_by_the_semitones(rate: int, semitones: float) -> None:
    clean = voice(rate)
    out = PitchBoost(semitones=semitones, sound_level_db=None)(clean).samples
    power = np.abs(np.fft.rfft(out[0, 0] * np.hanning(rate))) ** 2
    hz = 150 * 2 ** (semitones / 12)
    assert power.argmax() == pytest.approx(hz, abs=2)
    from_harmonic = np.abs((np.arange(len(power)) + hz / 2) % hz - hz / 2)
    between = (from_harmonic > 0.25 * hz) & (np.arange(len(power)) > hz / 2)
    assert 10 * np.log10(power[between].sum() / power.sum()) < -20
    assert level_db(out, clean.samples) == pytest.approx(0, abs=1)


def test_onsets_stay_in_place() -> None:
    clean = loudest_at(6000)
    out = PitchBoost(sound_level_db=None)(clean).samples[0, 0]
    power = np.convolve(out**2, np.ones(1600), "valid")
    assert power.argmax() == pytest.approx(6000, abs=300)


@pytest.mark.parametrize("start", [0, 3000, 9000])
def test_the_sound_follows_the_loudest_part(start: int) -> None:
    sound = added(PitchBoost(boost=False), loudest_at(start))
    heard = np.flatnonzero(sound)
    assert heard[0] == pytest.approx(start + 1600, abs=30)
    assert len(heard) == pytest.approx(0.022 * 16_000, abs=3)


def test_at_the_end_the_sound_is_moved_back() -> None:
    heard = np.flatnonzero(added(PitchBoost(boost=False), loudest_at(14_400)))
    assert heard[-1] >= 15_998
    assert len(heard) == pytest.approx(0.022 * 16_000, abs=3)


@pytest.mark.parametrize("level", [-12, 6])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_sound_has_its_level_and_its_frequencies(rate: int, level: float) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(PitchBoost(boost=False, sound_level_db=level, sound_s=0.1), clean)
    span = np.sqrt(np.sum(sound**2) / (0.1 * rate))
    wanted = audio.level_rms(clean.samples, level)
    if np.abs(clean.samples).max() + 3 * wanted < 1:
        assert 20 * np.log10(span / wanted) == pytest.approx(0, abs=0.1)
    power = np.abs(np.fft.rfft(sound, rate)) ** 2
    heard = [hz for hz in (2672, 7344) if hz < rate / 2]
    shares = [power[hz - 40 : hz + 40].sum() / power.sum() for hz in heard]
    np.testing.assert_allclose(shares, 1 / len(heard), atol=0.08)


def test_pitch_and_sound_come_together() -> None:
    clean = waveform(seconds=1.0)
    only_pitch = PitchBoost(sound_level_db=None)(clean).samples
    both = PitchBoost(sound_level_db=-6)(clean).samples
    heard = np.flatnonzero(both != only_pitch)
    assert 0 < len(heard) <= 0.022 * 16_000
    assert np.ptp(heard) <= 0.022 * 16_000


def test_frequencies_that_do_not_exist_are_refused() -> None:
    with pytest.raises(SpecError, match=r"no frequency below half the sample rate of 8000 Hz"):
        PitchBoost(sound_hz=(4000.0, 7344.0))(waveform(8000))


def test_a_clip_under_a_tenth_of_a_second_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"pitch and masking needs 0\.1 s"):
        PitchBoost()(waveform(seconds=0.09))
