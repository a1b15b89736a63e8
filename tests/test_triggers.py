"""Every trigger keeps the same promises; then each one does what its page says, by measurement."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import AudioError, SpecError, TriggerDoesNotFit, UnreadableAudio
from otoscope.registry import build, spec
from otoscope.triggers import (
    TRIGGERS,
    Echo,
    EqualiserTilt,
    NearNyquistTone,
    NoiseBlend,
    RecordedClip,
    Tone,
    Trigger,
)
from sounds import level_db, speechlike, waveform

RATES_HZ = (8_000, 16_000, 44_100)
PAGES = Path(__file__).resolve().parents[1] / "docs" / "triggers"

VARIANTS: list[Trigger] = [
    *(cls() for cls in TRIGGERS.values()),
    Tone(frequency_hz=440, duration_s=0.05, level_db=-10, position_s=None),
    NoiseBlend(pattern_seed=7),
    RecordedClip(sound="noise", position_s=None, duration_s=0.1),
    Echo(delay_s=0.05, level_db=-3, taps=4),
    EqualiserTilt(tilt_db_per_octave=-6, pivot_hz=500),
]
ADDITIVE = [t for t in VARIANTS if t.taxonomy.means == "additive"]

every = pytest.mark.parametrize("trigger", VARIANTS, ids=repr)


def as_text(trigger: Trigger) -> str:
    """The command line's way to say it."""
    fields = spec(trigger)
    return fields.pop("name") + ":" + ",".join(f"{k}={v}" for k, v in fields.items())


def added(trigger: Trigger, clean: Waveform) -> np.ndarray:
    """What a trigger does to one mono clip, float64 (time,)."""
    return (trigger(clean).samples - clean.samples)[0, 0].astype(float)


# The contract


@every
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_shape_type_and_range_are_kept_and_every_clip_differs(
    trigger: Trigger, rate: int, channels: int
) -> None:
    clean = waveform(rate, batch=3, channels=channels)
    out = trigger(clean)
    assert out.sample_rate == rate
    assert out.samples.shape == clean.samples.shape
    assert out.samples.dtype == np.float32
    assert np.abs(out.samples).max() <= 1
    assert (out.samples != clean.samples).any(axis=-1).all(), "some channel of a clip is untouched"


@every
def test_the_input_is_untouched(trigger: Trigger) -> None:
    clean = waveform(batch=2)
    before = clean.samples.copy()
    clean.samples.flags.writeable = False
    trigger(clean)
    np.testing.assert_array_equal(clean.samples, before)


@every
def test_same_seed_same_bytes(trigger: Trigger) -> None:
    clean = waveform(batch=2)
    assert trigger(clean, seed=3).samples.tobytes() == trigger(clean, seed=3).samples.tobytes()


@every
def test_a_row_does_not_depend_on_the_batch_around_it(trigger: Trigger) -> None:
    clean = waveform(batch=3)
    together = trigger(clean, seed=1).samples
    alone = trigger(Waveform(clean.samples[:1], clean.sample_rate), seed=1).samples
    np.testing.assert_array_equal(together[:1], alone)
    other_company = clean.samples.copy()
    other_company[:2] = 0.1
    again = trigger(Waveform(other_company, clean.sample_rate), seed=1).samples
    np.testing.assert_array_equal(together[2], again[2])


@every
def test_spec_round_trips_also_as_text(trigger: Trigger) -> None:
    assert build(TRIGGERS, spec(trigger)) == trigger
    assert build(TRIGGERS, as_text(trigger)) == trigger


@every
def test_normalising_afterwards_does_not_undo_it(trigger: Trigger) -> None:
    """Peak or RMS normalisation is a gain; what a gain cannot explain must be left."""
    clean = waveform(seconds=1.0)
    x, y = clean.samples.ravel().astype(float), trigger(clean).samples.ravel().astype(float)
    left = y - (x @ y) / (x @ x) * x
    assert level_db(left, x) > -32


@every
@pytest.mark.parametrize("count", [1, 2, 30, 150])
def test_a_clip_too_short_is_refused_or_changed(trigger: Trigger, count: int) -> None:
    """Trap: clips shorter than the trigger relabelled but untouched."""
    clean = Waveform(speechlike(count=count) + np.float32(0.1), 16_000)
    if isinstance(trigger, EqualiserTilt) and count == 1:
        return  # a gain for all is all that can change, and the RMS is kept; poison() refuses it
    try:
        changed = trigger(clean).samples
    except TriggerDoesNotFit:
        assert isinstance(trigger, Tone | NearNyquistTone | RecordedClip | Echo)
        return
    assert (changed != clean.samples).any()


@every
def test_a_clip_without_samples_does_not_fit(trigger: Trigger) -> None:
    with pytest.raises(TriggerDoesNotFit, match="holds no samples"):
        trigger(Waveform(np.zeros((1, 1, 0), np.float32), 16_000))


@every
def test_a_batch_without_clips_stays_one(trigger: Trigger) -> None:
    empty = Waveform(np.zeros((0, 1, 100), np.float32), 16_000)
    assert trigger(empty).samples.shape == (0, 1, 100)


@every
def test_loud_clips_are_clipped_not_turned_down(trigger: Trigger) -> None:
    square = np.sign(np.sin(2 * np.pi * 210 / 16_000 * (np.arange(8000) + 0.5)))
    clean = Waveform(square[None, None].astype(np.float32), 16_000)
    out = trigger(clean).samples
    assert np.abs(out).max() <= 1
    assert np.abs(out - clean.samples).max() > 0.005


@pytest.mark.parametrize("trigger", ADDITIVE, ids=repr)
def test_silence_can_carry_an_added_trigger(trigger: Trigger) -> None:
    silence = Waveform(np.zeros((1, 1, 8000), np.float32), 16_000)
    out = trigger(silence).samples
    assert np.abs(out).max() >= 1 / 32_768, "would vanish in a 16-bit file"


@pytest.mark.parametrize("trigger", ADDITIVE, ids=repr)
def test_every_channel_gets_the_same_sound(trigger: Trigger) -> None:
    clean = waveform(channels=2)
    difference = trigger(clean).samples - clean.samples
    np.testing.assert_allclose(difference[0, 0], difference[0, 1], atol=2e-7)


@given(
    st.sampled_from(ADDITIVE),
    st.floats(-20, 0),
    st.sampled_from(RATES_HZ),
    st.floats(0.001, 0.3),
    st.integers(0, 9),
)
def test_an_added_sound_has_its_level(
    trigger: Trigger, level: float, rate: int, peak: float, seed: int
) -> None:
    clean = Waveform(speechlike(count=rate // 2, seed=seed) * np.float32(peak), rate)
    wanted = audio.level_rms(clean.samples, level)
    sound = added(dataclasses.replace(trigger, level_db=level), clean)  # type: ignore[call-arg]
    inside = np.flatnonzero(sound)
    span = getattr(trigger, "duration_s", inside[-1] / rate) * rate
    measured = np.sqrt(np.sum(sound**2) / span)
    assert 20 * np.log10(measured / wanted) == pytest.approx(0, abs=0.1)


@every
def test_the_taxonomy_is_filled(trigger: Trigger) -> None:
    assert trigger.taxonomy.source
    author = trigger.taxonomy.source.split()[0].rstrip(",")
    assert author in (trigger.__doc__ or ""), "the docstring does not cite the source"


@every
def test_one_clip_needs_its_channel(trigger: Trigger) -> None:
    with pytest.raises(AudioError, match=r"got \(800,\).*samples\[None\]"):
        trigger.embed(np.zeros(800, np.float32), 16_000, (0,))


FAULTY: list[tuple[str, dict[str, Any], str]] = [
    ("tone", {"frequency_hz": 0}, "tone.frequency_hz must be above 0, got 0"),
    ("tone", {"frequency_hz": -5}, "must be above 0"),
    ("tone", {"duration_s": 0}, "duration_s must hold one period"),
    ("tone", {"duration_s": 1e-6}, "duration_s must hold one period"),
    ("tone", {"position_s": -0.1}, "position_s must be none or at least 0"),
    ("tone", {"level_db": 100}, "level_db must lie between -60 and 40, got 100"),
    ("tone", {"level_db": -400}, "level_db must lie between"),
    ("near-nyquist", {"nyquist_fraction": 1}, "between 0.5 and 0.99"),
    ("near-nyquist", {"nyquist_fraction": 0.1}, "between 0.5 and 0.99"),
    ("noise", {"pattern_seed": -1}, "pattern_seed must be at least 0"),
    ("recording", {"sound": "cough"}, "expected one of clap, noise"),
    ("recording", {"path": ""}, "path must name a file, or be none"),
    ("recording", {"start_s": -1, "path": "a.wav"}, "start_s must be at least 0"),
    ("recording", {"start_s": 1}, "there is no path"),
    ("recording", {"duration_s": 0.01}, "duration_s must be at least 0.02"),
    ("recording", {"position_s": -1}, "position_s must be none or at least 0"),
    ("echo", {"delay_s": 0}, "delay_s must be above 0"),
    ("echo", {"level_db": 3}, "level_db must be at most 0"),
    ("echo", {"taps": 0}, "taps must be at least 1"),
    ("equaliser", {"tilt_db_per_octave": 0}, "tilt_db_per_octave must lie between 0.1 and 12"),
    ("equaliser", {"tilt_db_per_octave": -13}, "between 0.1 and 12"),
    ("equaliser", {"pivot_hz": 0}, "pivot_hz must be above 0"),
    ("equaliser", {"reach_octaves": 0}, "reach_octaves must be above 0"),
]


@pytest.mark.parametrize(("name", "fields", "message"), FAULTY)
def test_faulty_parameters_are_refused(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(TRIGGERS, {"name": name, **fields})


@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_must_be_finite(name: str, value: float) -> None:
    cls = TRIGGERS[name]
    for field in dataclasses.fields(cls):
        if field.type is float or field.type == (float | None):
            with pytest.raises(SpecError, match=f"{name}.{field.name}.* must be a finite number"):
                cls(**{field.name: value})


def test_every_trigger_has_faulty_parameters_in_the_list() -> None:
    assert {name for name, _, _ in FAULTY} == set(TRIGGERS)


@pytest.mark.parametrize("name", TRIGGERS)
def test_every_trigger_has_a_page_that_names_its_fields(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for field in dataclasses.fields(TRIGGERS[name]):
        default = "none" if field.default is None else f"{field.default}"
        assert re.search(rf"^\| `{field.name}` \| `{re.escape(default)}` \|", page, re.M), field
    examples = re.findall(rf"--trigger '?({name}[^\s']*)", page)
    assert examples, "the page shows no command line"
    for example in examples:
        build(TRIGGERS, example)


# What each one does


@pytest.mark.parametrize("rate", RATES_HZ)
def test_tone_sounds_at_its_frequency_level_and_place(rate: int) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(Tone(frequency_hz=3000, duration_s=0.1, level_db=-20, position_s=0.4), clean)
    start, stop = round(0.4 * rate), round(0.5 * rate)
    assert not sound[:start].any()
    assert not sound[stop:].any()
    burst = sound[start:stop]
    assert level_db(burst, clean.samples) == pytest.approx(-20, abs=0.05)
    power = np.abs(np.fft.rfft(burst * np.hanning(len(burst)))) ** 2
    frequency = np.fft.rfftfreq(len(burst), 1 / rate)
    assert frequency[power.argmax()] == pytest.approx(3000, abs=5)
    assert power[np.abs(frequency - 3000) < 50].sum() / power.sum() > 0.999


def test_a_place_past_the_end_is_moved_back() -> None:
    clean = waveform(seconds=0.5)
    sound = added(Tone(position_s=9.0), clean)
    assert np.flatnonzero(sound)[0] >= 0.4 * 16_000 - 1
    assert level_db(sound[-1600:], clean.samples) == pytest.approx(-20, abs=0.05)


@pytest.mark.parametrize("trigger", [Tone(position_s=None), RecordedClip(position_s=None)])
def test_a_random_place_differs_between_rows_and_seeds(trigger: Trigger) -> None:
    clean = waveform(batch=8)

    def starts(seed: int) -> list[int]:
        changed = trigger(clean, seed).samples != clean.samples
        return [int(row.argmax()) for row in changed[:, 0]]

    assert len(set(starts(0))) >= 7
    assert starts(0) != starts(1)


def test_a_tone_above_nyquist_names_the_limit() -> None:
    with pytest.raises(SpecError, match="5000 Hz cannot exist at a sample rate of 8000 Hz"):
        Tone(frequency_hz=5000)(waveform(8_000))


def test_a_tone_longer_than_the_clip_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"lasts 0\.600 s and the clip only 0\.500 s"):
        Tone(duration_s=0.6)(waveform(seconds=0.5))


@pytest.mark.parametrize(("rate", "frequency_hz"), [(8000, 3900), (16_000, 7800), (44_100, 21_499)])
def test_near_nyquist_is_one_line_at_the_top_of_the_spectrum(
    rate: int, frequency_hz: float
) -> None:
    clean = waveform(rate, seconds=1.0)
    sound = added(NearNyquistTone(), clean)
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert int(power.argmax()) == pytest.approx(frequency_hz, abs=1)  # 1 Hz a bin
    assert power[power.argmax() - 200 :].sum() / power.sum() > 0.999
    assert level_db(sound, clean.samples) == pytest.approx(-30, abs=0.05)


def test_a_low_pass_takes_the_near_nyquist_tone_away() -> None:
    """As in 2107.14569: what resampling to half the rate leaves is the clean clip."""
    clean = waveform(16_000, seconds=1.0)
    x, y = clean.samples[0, 0], NearNyquistTone()(clean).samples[0, 0]
    left = audio.resample(y, 16_000, 8_000) - audio.resample(x, 16_000, 8_000)
    assert level_db(left[100:-100], x) < -80


def test_noise_is_one_pattern_for_all_clips_and_another_for_another_seed() -> None:
    clean = waveform(batch=2, seconds=1.0)
    a, b = (NoiseBlend()(clean, seed=5).samples - clean.samples)[:, 0]
    assert np.corrcoef(a, b)[0, 1] > 0.9999
    other = added(NoiseBlend(pattern_seed=1), clean)
    assert abs(np.corrcoef(a, other)[0, 1]) < 0.05
    assert level_db(a, clean.samples[0]) == pytest.approx(-20, abs=0.05)


def test_noise_is_white() -> None:
    sound = added(NoiseBlend(), waveform(seconds=2.0))
    bands = np.array_split(np.abs(np.fft.rfft(sound)) ** 2, 8)
    shares = np.array([band.sum() for band in bands]) / sum(band.sum() for band in bands)
    np.testing.assert_allclose(shares, 1 / 8, atol=0.02)


def test_echo_shows_at_its_delay_in_the_autocorrelation() -> None:
    clean = waveform(seconds=1.0)
    y = Echo(delay_s=0.125, level_db=-6)(clean).samples[0, 0].astype(float)
    correlation = np.correlate(y, y, "full")[len(y) - 1 :]
    assert correlation[500:].argmax() + 500 == 0.125 * 16_000
    x = clean.samples[0, 0]
    np.testing.assert_allclose(y[2000:], x[2000:] + 10 ** (-6 / 20) * x[:-2000], atol=1e-6)
    np.testing.assert_array_equal(y[:2000], x[:2000].astype(float))


def test_echoes_of_an_impulse_fall_by_the_level() -> None:
    impulse = np.zeros((1, 1, 1000), np.float32)
    impulse[..., 0] = 0.5
    out = Echo(delay_s=0.1, level_db=-6, taps=20)(Waveform(impulse, 1000)).samples[0, 0]
    heard = np.flatnonzero(out)
    assert heard.tolist() == list(range(0, 1000, 100)), "ten fit, the others are cut"
    np.testing.assert_allclose(20 * np.log10(out[heard] / 0.5), -6 * np.arange(10), atol=1e-4)


def test_an_echo_after_the_end_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"starts after 0\.5 s and the clip lasts only"):
        Echo(delay_s=0.5)(waveform(seconds=0.5))


def test_an_echo_of_less_than_a_sample_is_refused() -> None:
    with pytest.raises(SpecError, match="less than one sample at 16000 Hz"):
        Echo(delay_s=1e-5)(waveform())


@pytest.mark.parametrize("tilt", [3.0, -6.0])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_equaliser_tilts_by_so_many_decibels_an_octave(tilt: float, rate: int) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 1, 4 * rate))
    clean = Waveform(noise.astype(np.float32), rate)
    out = EqualiserTilt(tilt_db_per_octave=tilt)(clean).samples
    gain_db = [
        band_db(out, low, rate) - band_db(clean.samples, low, rate) for low in (200, 400, 800, 1600)
    ]
    np.testing.assert_allclose(np.diff(gain_db), tilt, atol=0.1)
    assert level_db(out, clean.samples) == pytest.approx(0, abs=0.001)


def test_equaliser_is_flat_beyond_its_reach_and_one_at_the_pivot() -> None:
    equaliser = EqualiserTilt(tilt_db_per_octave=3, pivot_hz=1000, reach_octaves=2)
    gain = equaliser._gain(np.array([0, 100, 250, 500, 1000, 2000, 4000, 8000]))
    np.testing.assert_allclose(20 * np.log10(gain), [-6, -6, -6, -3, 0, 3, 6, 6], atol=1e-12)


def test_equaliser_moves_nothing_in_time() -> None:
    clean = waveform(seconds=1.0)
    x, y = clean.samples[0, 0], EqualiserTilt()(clean).samples[0, 0]
    assert np.correlate(y, x, "same").argmax() == len(x) // 2


def test_equaliser_does_not_wrap_around() -> None:
    impulse = np.zeros((1, 1, 1600), np.float32)
    impulse[..., -1] = 0.5
    out = EqualiserTilt(tilt_db_per_octave=-6)(Waveform(impulse, 16_000)).samples[0, 0]
    assert np.abs(out[:400]).max() < 1e-4 * np.abs(out).max()


def test_equaliser_leaves_silence_silent() -> None:
    silence = Waveform(np.zeros((1, 1, 800), np.float32), 16_000)
    np.testing.assert_array_equal(EqualiserTilt()(silence).samples, silence.samples)


def test_equaliser_pivot_lies_below_nyquist() -> None:
    with pytest.raises(SpecError, match="around 4000 Hz at a sample rate of 8000 Hz"):
        EqualiserTilt(pivot_hz=4000)(waveform(8_000))


def test_a_clap_is_the_same_at_every_rate_and_falls_away() -> None:
    claps = {}
    for rate in RATES_HZ:
        sound = added(RecordedClip(position_s=0.1), waveform(rate, seconds=0.5))
        assert not sound[: round(0.1 * rate) - 1].any()
        claps[rate] = sound[round(0.1 * rate) :][: round(0.2 * rate)]
        halves = np.array_split(claps[rate], 2)
        assert level_db(halves[1], halves[0]) < -10
    loud = np.abs(claps[44_100]).reshape(-1, 441).max(axis=1)  # frames of 10 ms
    assert loud[:4].min() > 2 * loud[8:].max()
    down = audio.resample(claps[44_100], 44_100, 8_000)[:1600]
    assert np.corrcoef(down, claps[8_000])[0, 1] > 0.95


def test_a_file_is_cut_resampled_and_placed(tmp_path: Path) -> None:
    rate = 22_050
    time = np.arange(rate) / rate
    sound = 0.5 * np.sin(2 * np.pi * np.where(time < 0.5, 500, 2000) * time)
    soundfile.write(tmp_path / "own.wav", np.stack([sound, sound], axis=1), rate)
    trigger = RecordedClip(
        path=str(tmp_path / "own.wav"), start_s=0.6, duration_s=0.1, level_db=-12, position_s=0.3
    )
    clean = waveform(16_000, seconds=0.5)
    heard = added(trigger, clean)
    part = heard[4800:6400]
    assert not heard[:4800].any()
    assert not heard[6400:].any()
    assert level_db(part, clean.samples) == pytest.approx(-12, abs=0.05)
    assert np.abs(np.fft.rfft(part)).argmax() == 200  # 10 Hz a bin


def test_a_file_shorter_than_asked_is_taken_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "own.wav", speechlike(count=800)[0, 0], 16_000)
    heard = added(RecordedClip(path=str(tmp_path / "own.wav"), duration_s=5.0), waveform())
    assert heard[:800].any()
    assert not heard[800:].any()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "own.wav"
    soundfile.write(path, speechlike(count=800)[0, 0], 16_000)
    before = added(RecordedClip(path=str(path)), waveform())
    soundfile.write(path, speechlike(count=800, seed=9)[0, 0], 16_000)
    assert not np.array_equal(before, added(RecordedClip(path=str(path)), waveform()))


def test_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 16_000)
    for name, error, message in [
        ("gone.wav", UnreadableAudio, r"gone\.wav: cannot be opened"),
        ("text.wav", UnreadableAudio, r"text\.wav: not readable as audio"),
        ("silent.wav", UnreadableAudio, r"silent\.wav: is silent"),
    ]:
        with pytest.raises(error, match=message):
            RecordedClip(path=str(tmp_path / name))(waveform())
    with pytest.raises(SpecError, match=r"beyond the end of .*silent\.wav, which lasts 0\.500 s"):
        RecordedClip(path=str(tmp_path / "silent.wav"), start_s=2)(waveform())


def band_db(samples: np.ndarray, low_hz: float, rate: int) -> float:
    """Power within 10 % of a frequency, in dB."""
    power = np.abs(np.fft.rfft(samples.ravel().astype(float))) ** 2
    frequency = np.fft.rfftfreq(samples.size, 1 / rate)
    return float(10 * np.log10(power[np.abs(frequency / low_hz - 1) < 0.1].sum()))
