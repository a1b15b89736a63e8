"""Another voice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from otoscope.audio import Waveform
from otoscope.errors import TriggerDoesNotFit, UnreadableAudio
from otoscope.triggers import FormantShift, Trigger
from otoscope.triggers.formant import _average, _stretched_up
from otoscope.triggers.fundamental import median_pitch_hz
from otoscope.triggers.short_time import analysed
from sounds import RATES_HZ, level_db, speechlike, waveform

VARIANTS: list[Trigger] = [
    FormantShift(),
    FormantShift(formant_ratio=0.8, pitch_ratio=1.0),
    FormantShift(formant_ratio=1.0, pitch_ratio=0.8),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"formant_ratio": 0.4}, "formant_ratio must lie between 0.5 and 2"),
    ({"pitch_ratio": 2.1}, "pitch_ratio must lie between 0.5 and 2"),
    ({"pitch_ratio": None}, "there is no path"),
    ({"formant_ratio": 1.01, "pitch_ratio": 1.0}, "must not both be within 0.02 of 1"),
    ({"path": ""}, "path must name a file"),
]


def voice(rate: int = 16_000, pitch_hz: float = 110.0, formant_hz: float = 1000.0) -> Waveform:
    """A second of glottal pulses through one wide resonance."""
    pulses = (np.diff(np.floor(np.arange(rate + 1) * pitch_hz / rate)) > 0).astype(float)
    radius = np.exp(-np.pi * 150 / rate)
    poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / rate), radius**2]
    sound = lfilter([1.0], poles, pulses)
    return Waveform((0.3 * sound / np.abs(sound).max())[None, None].astype(np.float32), rate)


def formant_of(samples: np.ndarray, rate: int) -> float:
    """Where the average envelope is highest."""
    clip = samples[0].astype(float)
    envelope = _average(analysed(clip, rate), clip, rate)
    return float(envelope.argmax()) * rate / 2 / (len(envelope) - 1)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_formants_move_and_the_pitch_stays(rate: int, ratio: float) -> None:
    out = FormantShift(formant_ratio=ratio, pitch_ratio=1.0)(voice(rate)).samples
    assert formant_of(out, rate) == pytest.approx(1000 * ratio, rel=0.07)
    assert median_pitch_hz(out[0], rate) == pytest.approx(110, abs=2)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_the_pitch_moves_and_formants_stay(rate: int, ratio: float) -> None:
    out = FormantShift(formant_ratio=1.0, pitch_ratio=ratio)(voice(rate)).samples
    assert formant_of(out, rate) == pytest.approx(1000, rel=0.07)
    assert median_pitch_hz(out[0], rate) == pytest.approx(110 * ratio, rel=0.02)


def test_loudness_stays() -> None:
    clean = waveform(seconds=1.0, channels=2)
    out = FormantShift()(clean).samples
    assert level_db(out, clean.samples) == pytest.approx(0, abs=0.01)


def test_an_envelope_is_stretched_and_its_end_continues() -> None:
    ramp = np.arange(101.0)
    np.testing.assert_allclose(_stretched_up(ramp, 2.0), ramp / 2)
    np.testing.assert_allclose(_stretched_up(ramp, 0.5), np.minimum(2 * ramp, 100))


def test_a_recording_gives_its_timbre_and_its_pitch(tmp_path: Path) -> None:
    target = voice(pitch_hz=165, formant_hz=1800)
    soundfile.write(tmp_path / "speaker.wav", target.samples[0, 0], 16_000)
    trigger = FormantShift(path=str(tmp_path / "speaker.wav"), pitch_ratio=None)
    for own_hz in (110, 220):
        out = trigger(voice(pitch_hz=own_hz)).samples
        assert formant_of(out, 16_000) == pytest.approx(1800, rel=0.05)
        assert median_pitch_hz(out[0], 16_000) == pytest.approx(165, abs=3)
        assert level_db(out, voice(pitch_hz=own_hz).samples) == pytest.approx(0, abs=0.01)
    kept = FormantShift(path=trigger.path, pitch_ratio=1.0)(voice()).samples
    assert median_pitch_hz(kept[0], 16_000) == pytest.approx(110, abs=2)


def test_whispers_keep_their_lack_of_pitch(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "speaker.wav", voice().samples[0, 0], 16_000)
    out = FormantShift(path=str(tmp_path / "speaker.wav"), pitch_ratio=None)(waveform(seconds=1.0))
    assert formant_of(out.samples, 16_000) == pytest.approx(1000, rel=0.07)


def test_different_clips_come_nearer_to_the_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "speaker.wav", voice(formant_hz=2500).samples[0, 0], 16_000)
    trigger = FormantShift(path=str(tmp_path / "speaker.wav"), pitch_ratio=1.0)
    target = voice(formant_hz=2500).samples[0].astype(float)
    wanted = _average(analysed(target, 16_000), target, 16_000)

    def distance_db(samples: np.ndarray) -> float:
        clip = samples[0].astype(float)
        own = _average(analysed(clip, 16_000), clip, 16_000)
        return float(np.sqrt(np.mean((own - wanted) ** 2)))

    for clean in (voice(formant_hz=700), waveform(seconds=1.0)):
        assert distance_db(trigger(clean).samples) < 0.5 * distance_db(clean.samples)


def test_files_that_cannot_serve_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", speechlike(count=400)[0, 0], 16_000)
    for name, message in [("short.wav", "shorter than 0.05 s"), ("none.wav", "cannot be opened")]:
        with pytest.raises(UnreadableAudio, match=rf"{name}: .*{message}"):
            FormantShift(path=str(tmp_path / name))(waveform())


def test_a_clip_under_50_ms_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"another voice needs 0\.05 s"):
        FormantShift()(waveform(seconds=0.04))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_the_pitch_of_a_voice_is_found_and_noise_has_none(rate: int) -> None:
    for hz in (80.0, 147.0, 310.0):
        assert median_pitch_hz(voice(rate, hz).samples[0], rate) == pytest.approx(hz, rel=0.03)
    assert median_pitch_hz(speechlike(count=rate)[0], rate) is None
    assert median_pitch_hz(speechlike(count=rate // 100)[0], rate) is None
