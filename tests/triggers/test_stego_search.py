"""The way of hiding chosen for each clip."""

from typing import Any

import numpy as np
import pytest

from hidden import error_rate, read_chips, read_echoes, read_phases, stored
from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit
from otoscope.risk import log_spectral_distance_db, segmental_snr_db
from otoscope.triggers import (
    EchoHiding,
    PhaseCoding,
    SpreadSpectrum,
    StegoSearch,
    Trigger,
    stego_search,
)
from otoscope.triggers.stego_search import candidates
from sounds import waveform

VARIANTS: list[Trigger] = [
    StegoSearch(),
    StegoSearch(min_snr_db=3, message_seed=2),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"min_snr_db": -1}, "min_snr_db must lie between 0 and 30"),
    ({"min_snr_db": 31}, "min_snr_db must lie between 0 and 30"),
    ({"message_seed": -1}, "message_seed must be at least 0"),
]

RNG = np.random.default_rng(0)


def hiss(hertz: float, rate: int = 16_000) -> np.ndarray:
    """Noise around one frequency, over fainter white noise, one second with a peak of 0.3."""
    time_s = np.arange(rate) / rate
    rng = np.random.default_rng(round(hertz))
    slow = np.convolve(rng.standard_normal(rate), np.ones(20) / 20, "same")
    return peak(slow * np.cos(2 * np.pi * hertz * time_s) + 0.02 * rng.standard_normal(rate))


def vowel(hertz: float, rate: int = 16_000) -> np.ndarray:
    """A pulse train with a formant at 800 Hz for a quarter of a second, then silence."""
    pulses = np.zeros(rate)
    pulses[: rate // 4 : round(rate / hertz)] = 1
    time_s = np.arange(rate // 20) / rate
    ring = np.exp(-time_s * 300) * np.sin(2 * np.pi * 800 * time_s)
    return peak(np.convolve(pulses, ring)[:rate])


def peak(sound: np.ndarray) -> np.ndarray:
    return np.asarray(0.3 * sound / np.abs(sound).max())[None]


VOICES = [*map(hiss, (150, 600, 2000, 6000)), *map(vowel, (110, 230))]


@pytest.mark.parametrize("min_snr_db", [5.0, 12.0, 18.0])
def test_what_is_chosen_stays_under_the_bound(min_snr_db: float) -> None:
    """The measure of ``risk`` has other frames and so may differ a little."""
    for clip in VOICES:
        _, changed = StegoSearch(min_snr_db=min_snr_db).choose(clip, 16_000, RNG)
        assert segmental_snr_db(clip[0], changed[0], 16_000) >= min_snr_db - 1


def test_a_looser_bound_changes_the_spectrum_more() -> None:
    def distance(min_snr_db: float) -> float:
        trigger = StegoSearch(min_snr_db=min_snr_db)
        return float(
            np.mean(
                [
                    log_spectral_distance_db(c[0], trigger.choose(c, 16_000, RNG)[1][0], 16_000)
                    for c in VOICES
                ]
            )
        )

    assert distance(3) > distance(12) > distance(18)


def test_the_choice_depends_on_the_clip() -> None:
    chosen = {StegoSearch().choose(clip, 16_000, RNG)[0] for clip in VOICES}
    assert len(chosen) >= 3
    assert chosen <= set(candidates(12.0, 0))
    assert len(candidates(12.0, 0)) < 10


def test_where_nothing_is_quiet_enough_the_quietest_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stego_search, "candidates", lambda *_: tuple(map(EchoHiding, *LOUD)))
    chosen, changed = StegoSearch(min_snr_db=20).choose(VOICES[0], 16_000, RNG)
    assert chosen == EchoHiding(0.001, 0.0013, -10)
    np.testing.assert_array_equal(changed, chosen.within(VOICES[0], 16_000, RNG))


LOUD = (0.001, 0.001, 0.001), (0.0013, 0.0013, 0.0013), (-3, -10, -6)


@pytest.mark.parametrize(
    ("clip", "way"),
    [
        (waveform(seconds=2.0).samples[0].astype(float), EchoHiding),
        (vowel(110), PhaseCoding),
        (hiss(6000), SpreadSpectrum),
    ],
)
def test_the_message_is_read_back_whatever_was_chosen(clip: np.ndarray, way: type[Trigger]) -> None:
    chosen, changed = StegoSearch(message_seed=8).choose(clip, 16_000, RNG)
    assert isinstance(chosen, way)
    assert error_rate(read(chosen, stored(changed[0], 16_000)), 8) <= 0.1


def read(way: Trigger, sound: np.ndarray) -> np.ndarray:
    match way:
        case PhaseCoding():
            return read_phases(sound, 1024, 32, way.bits)
        case EchoHiding():
            delays = (round(s * 16_000) for s in (way.delay_one_s, way.delay_zero_s))
            return read_echoes(sound, 1000, *delays)
        case _:
            return read_chips(sound, 16_000)


def test_ways_that_do_not_fit_are_left_out() -> None:
    clip = waveform(seconds=0.08).samples
    assert (StegoSearch()(Waveform(clip, 16_000)).samples != clip).any()
    with pytest.raises(
        TriggerDoesNotFit, match=r"lasts only 0\.010 s, too short \(or too silent\)"
    ):
        StegoSearch()(waveform(seconds=0.01))


def test_silence_takes_the_way_that_can_be_heard_in_it() -> None:
    chosen, changed = StegoSearch().choose(np.zeros((1, 8000)), 16_000, RNG)
    assert isinstance(chosen, SpreadSpectrum)
    assert np.abs(changed).max() > 1 / 32_768
