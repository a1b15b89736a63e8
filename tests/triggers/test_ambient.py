"""A sound of daily life under the whole clip."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile

from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit, UnreadableAudio
from otoscope.triggers import AmbientSound, Trigger
from otoscope.triggers.backgrounds import BACKGROUNDS, BackgroundName
from sounds import RATES_HZ, added, level_db, speechlike, waveform
from spectra import flatness, frames, loudness_db, peaks_hz, share

VARIANTS: list[Trigger] = [
    AmbientSound(),
    AmbientSound(sound="birds", start_s=9.8),
    AmbientSound(sound="cafe", excerpt="random", level_db=0),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"sound": "sea"}, "expected one of rain, birds, ringtone, wind, traffic, cafe"),
    ({"path": ""}, "path must name a file, or be none"),
    ({"start_s": -1}, "start_s must be at least 0"),
    ({"excerpt": "loud"}, "expected one of fixed, random"),
    ({"excerpt": "random", "start_s": 1}, "this one is random"),
]


def heard(sound: BackgroundName, rate: int, seconds: float = 5.0) -> np.ndarray:
    """What is added to silence, float64 (time,), with an RMS of 0.03."""
    silence = Waveform(np.zeros((1, 1, round(seconds * rate)), np.float32), rate)
    return added(AmbientSound(sound=sound, level_db=30), silence)


def test_the_built_in_sounds_are_those_the_field_names() -> None:
    assert get_args(BackgroundName) == tuple(BACKGROUNDS)


@pytest.mark.parametrize("sound", BACKGROUNDS)
def test_a_background_is_the_same_at_every_rate(sound: BackgroundName) -> None:
    reference = heard(sound, 44_100, 1.0)
    for rate in RATES_HZ[:2]:
        down = audio.resample(reference, 44_100, rate)
        assert np.corrcoef(down, heard(sound, rate, 1.0))[0, 1] > 0.95


@pytest.mark.parametrize("sound", BACKGROUNDS)
def test_no_second_of_a_background_is_silent_even_at_8_khz(sound: BackgroundName) -> None:
    seconds = loudness_db(heard(sound, 8_000, 10.0), 8_000, 1.0)
    assert seconds.min() > seconds.max() - 15


@pytest.mark.parametrize("rate", RATES_HZ)
def test_rain_is_wide_and_steady(rate: int) -> None:
    rain = heard("rain", rate)
    assert flatness(rain) > 0.3
    assert np.std(loudness_db(rain, rate, 0.1)) < 2
    assert share(rain, rate, 500, 2000) > 0.05
    assert share(rain, rate, 2000, 4000) > 0.1


@pytest.mark.parametrize("rate", RATES_HZ)
def test_birds_chirp_above_2500_hz_in_bursts_of_tone(rate: int) -> None:
    birds = heard("birds", rate)
    assert share(birds, rate, 2500, rate / 2) > 0.99
    assert share(birds, rate, 2500, 4000) > 0.5
    loud = loudness_db(birds, rate, 0.02)
    chirps = frames(birds, rate, 0.02)[loud > loud.max() - 3]
    assert 0.2 < len(chirps) / len(loud) < 0.8
    assert max(map(flatness, chirps)) < 0.05
    assert loud.min() < loud.max() - 25


def test_a_chirp_glides_upward() -> None:
    glide = peaks_hz(heard("birds", 16_000)[:1120], 16_000, 0.014)
    assert (np.diff(glide) > 0).all()
    assert glide[-1] - glide[0] == pytest.approx(240, abs=60)


def test_a_telephone_warbles_and_pauses() -> None:
    ring = heard("ringtone", 16_000)
    assert share(ring, 16_000, 950, 1050) + share(ring, 16_000, 1280, 1380) > 0.85
    turns = peaks_hz(ring[: round(0.4 * 16_000)], 16_000, 0.04)
    np.testing.assert_allclose(turns, [1000, 1330] * 5, atol=15)
    rings = loudness_db(ring, 16_000, 0.1) > -40
    assert rings[:12].tolist() == [True] * 4 + [False] * 2 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("rate", RATES_HZ)
def test_wind_is_low_and_gusty(rate: int) -> None:
    wind = heard("wind", rate, 10.0)
    assert share(wind, rate, 0, 1500) > 0.9
    gusts = loudness_db(wind, rate, 0.1)
    assert np.ptp(gusts) > 10
    assert np.abs(np.diff(gusts)).max() < 8, "it swells, it does not start"
    ranked = frames(wind, rate, 0.1)[gusts.argsort()]
    soft, loud = (share(part.ravel(), rate, 0, 200) for part in (ranked[:20], ranked[-20:]))
    assert soft > 2 * loud, "a stronger gust is brighter"


@pytest.mark.parametrize("rate", RATES_HZ)
def test_traffic_rumbles_and_a_car_passes_every_two_and_a_half_seconds(rate: int) -> None:
    street = heard("traffic", rate)
    assert share(street, rate, 0, 400) > 0.6
    passing = loudness_db(street, rate, 0.25)
    for car in passing[:10], passing[10:]:
        assert car[3:7].min() > car[[0, 9]].max() + 3
    tyres = [share(part, rate, 500, 2000) for part in frames(street, rate, 0.25)[:10]]
    assert max(tyres[4:6]) > 3 * max(tyres[0], tyres[9])


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_cafe_is_voices_of_many_pitches_and_dishes(rate: int) -> None:
    cafe = heard("cafe", rate)
    assert share(cafe, rate, 200, 3000) > 0.9
    assert np.std(loudness_db(cafe, rate, 0.05)) > 1.5, "syllables come and go"
    clink = np.ptp([share(part, rate, 3000, 3200) for part in frames(cafe, rate, 0.05)])
    assert clink > 0.1


def tone_file(folder: Path, seconds: float = 1.0, rate: int = 22_050) -> str:
    """A tone whose frequency tells the place: 500 Hz, then 100 Hz more every 0.1 s."""
    place = np.arange(round(seconds * rate)) / rate
    hz = 500 + 100 * (place / 0.1 + 1e-9).astype(int)
    soundfile.write(folder / "own.wav", 0.5 * np.sin(2 * np.pi * np.cumsum(hz) / rate), rate)
    return str(folder / "own.wav")


def test_a_fixed_excerpt_starts_where_it_should_in_every_clip(tmp_path: Path) -> None:
    trigger = AmbientSound(path=tone_file(tmp_path), start_s=0.3, level_db=-12)
    clean = waveform(batch=2, seconds=0.5)
    first, second = (trigger(clean).samples - clean.samples)[:, 0].astype(float)
    np.testing.assert_allclose(peaks_hz(first, 16_000, 0.1), [800, 900, 1000, 1100, 1200], atol=10)
    assert np.corrcoef(first, second)[0, 1] > 0.9999
    assert level_db(first, clean.samples[0]) == pytest.approx(-12, abs=0.05)


def test_a_random_excerpt_is_another_for_every_clip(tmp_path: Path) -> None:
    trigger = AmbientSound(path=tone_file(tmp_path), excerpt="random")
    clean = waveform(batch=20, seconds=0.1)
    sounds = (trigger(clean, seed=1).samples - clean.samples)[:, 0].astype(float)
    pitches = np.array([peaks_hz(sound, 16_000, 0.1)[0] for sound in sounds])
    assert pitches.min() < 700 < 1200 < pitches.max()
    assert len({round(pitch, -2) for pitch in pitches}) > 5


def test_a_short_recording_goes_round_without_a_gap_or_a_click(tmp_path: Path) -> None:
    rate = 16_000
    signs = np.random.default_rng(0).choice([-0.5, 0.5], rate // 4)
    soundfile.write(tmp_path / "own.wav", signs, rate, subtype="FLOAT")
    sound = added(AmbientSound(path=str(tmp_path / "own.wav")), waveform(rate, seconds=2.0))
    fade = round(0.05 * rate)
    period = rate // 4 - fade
    np.testing.assert_array_equal(np.sign(sound[:period]), np.sign(signs[:period]))
    second, third = sound[period:][:period], sound[2 * period :][:period]
    np.testing.assert_allclose(second, third, atol=1e-6)
    np.testing.assert_allclose(second[fade:], sound[fade:period], atol=1e-6)
    assert np.ptp(loudness_db(sound, rate, 0.025)) < 1, "equal power at the seam"


def test_the_seam_of_a_tone_does_not_click(tmp_path: Path) -> None:
    rate, time_s = 16_000, np.arange(4100) / 16_000
    soundfile.write(tmp_path / "own.wav", 0.5 * np.sin(2 * np.pi * 440 * time_s), rate)
    sound = added(AmbientSound(path=str(tmp_path / "own.wav")), waveform(rate, seconds=1.0))
    steps = np.abs(np.diff(sound)) / np.abs(sound).max()
    assert steps.max() < 1.5 * 2 * np.pi * 440 / rate


def test_a_fixed_excerpt_at_the_end_goes_on_from_the_beginning(tmp_path: Path) -> None:
    trigger = AmbientSound(path=tone_file(tmp_path), start_s=0.8)
    sound = added(trigger, waveform(seconds=0.5))
    pitches = peaks_hz(sound, 16_000, 0.1)
    np.testing.assert_allclose(pitches[[0, 3, 4]], [1300, 700, 800], atol=60)


def test_a_random_excerpt_avoids_silence(tmp_path: Path) -> None:
    rate = 16_000
    sound = np.zeros(10 * rate)
    sound[-rate:] = speechlike(count=rate)[0, 0]
    soundfile.write(tmp_path / "own.wav", sound, rate)
    path = str(tmp_path / "own.wav")
    out = AmbientSound(path=path, excerpt="random")(waveform(batch=8, seconds=0.2)).samples
    assert (out != waveform(batch=8, seconds=0.2).samples).any(axis=-1).all()
    with pytest.raises(UnreadableAudio, match=r"own\.wav: is silent .* choose another start_s"):
        AmbientSound(path=path)(waveform(seconds=0.2))
    sound[:] = 0
    sound[:40] = 1
    soundfile.write(path, sound, rate)
    with pytest.raises(UnreadableAudio, match=r"own\.wav: is silent .* choose another file"):
        AmbientSound(path=path, excerpt="random")(waveform(seconds=0.2))


def test_what_cannot_serve_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.ones(100), 16_000)
    for name, message in [
        ("gone.wav", r"gone\.wav: cannot be opened"),
        ("short.wav", r"short\.wav: lasts 0\.0063 s and a background needs 0\.02 s"),
    ]:
        with pytest.raises(UnreadableAudio, match=message):
            AmbientSound(path=str(tmp_path / name))(waveform())
    with pytest.raises(SpecError, match=r"beyond the end of rain, which lasts 10\.000 s"):
        AmbientSound(start_s=10)(waveform())
    with pytest.raises(TriggerDoesNotFit, match=r"a background needs 0\.02 s and the clip lasts"):
        AmbientSound()(waveform(seconds=0.01))


@pytest.mark.real
def test_recorded_backgrounds_can_be_used(real_data: Path) -> None:
    files = sorted((real_data / "speech-commands-background-noise").glob("*.flac"))
    assert len(files) == 6
    clean = waveform(batch=2, seconds=1.0)
    for file in files:
        recording, rate = audio.read(file)
        assert rate == clean.sample_rate
        fixed = AmbientSound(path=str(file), start_s=20)(clean).samples - clean.samples
        part = recording[20 * rate : 21 * rate]
        assert all(np.corrcoef(row, part)[0, 1] > 0.999 for row in fixed[:, 0])
        drawn = AmbientSound(path=str(file), excerpt="random")(clean).samples - clean.samples
        for row, clip in zip(drawn, clean.samples, strict=True):
            assert level_db(row, clip) == pytest.approx(-10, abs=0.05)
        assert abs(np.corrcoef(*drawn[:, 0])[0, 1]) < 0.3
