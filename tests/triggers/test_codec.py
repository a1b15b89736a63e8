"""What a codec leaves behind."""

from typing import Any, get_args

import numpy as np
import pytest
import soundfile

from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import CodecResidue, Trigger
from otoscope.triggers.codec import CodecName
from sounds import RATES_HZ, added, level_db, waveform

VARIANTS: list[Trigger] = [
    CodecResidue(),
    CodecResidue(codec="mu-law"),
    CodecResidue(codec="gsm"),
    CodecResidue(codec="mp3"),
    CodecResidue(codec="vorbis", quality=0.0),
    CodecResidue(codec="opus"),
    CodecResidue(codec="bits", bits=5),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"codec": "flac"}, "expected one of adpcm, mu-law"),
    ({"quality": 1.1}, "quality must lie between 0 and 1"),
    ({"quality": -0.1}, "quality must lie between 0 and 1"),
    ({"bits": 1}, "bits must lie between 2 and 12"),
    ({"bits": 13}, "bits must lie between 2 and 12"),
]

LEFT_DB = -40.0  # mu-law with 8 bits leaves noise 37 dB under the sound


def voiced(rate: int, channels: int = 1) -> Waveform:
    """Half a second of a harmonic sound that rises: white noise is not what codecs keep."""
    time_s = np.arange(rate // 2) / rate
    turns = (100 + 100 * time_s) * time_s  # no two periods alike, so that only one lag fits
    sound = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 15))
    sound = 0.2 * sound * (0.2 + np.sin(6 * np.pi * time_s) ** 2)
    rows = [sound * 0.5**channel for channel in range(channels)]
    return Waveform(np.stack(rows)[None].astype(np.float32), rate)


@pytest.mark.parametrize("codec", get_args(CodecName))
@pytest.mark.parametrize("rate", [*RATES_HZ, 20_000, 96_000])
def test_the_sound_keeps_its_place_and_level(rate: int, codec: CodecName) -> None:
    clean = voiced(rate)
    x = clean.samples[0, 0].astype(float)
    y = CodecResidue(codec=codec)(clean).samples[0, 0].astype(float)
    spectrum = np.fft.rfft(y, 2 * rate) * np.fft.rfft(x, 2 * rate).conj()
    lag = np.fft.irfft(spectrum).argmax()
    assert min(lag, 2 * rate - lag) <= rate * 0.0002, "the codec's delay is left in"
    assert level_db(y, x) == pytest.approx(0, abs=1)
    assert level_db(y - x, x) < -8, "the sound is not kept"


@pytest.mark.parametrize(("bits", "expected_db"), [(4, -14), (6, -26), (8, -38)])
def test_each_bit_less_adds_6_db_of_noise(bits: int, expected_db: float) -> None:
    """A step is full scale / 2^(bits - 1); its rounding noise is step / sqrt(12)."""
    clean = waveform(seconds=1.0)
    noise = added(CodecResidue(codec="bits", bits=bits), clean)
    assert np.abs(noise).max() <= 0.5 ** (bits - 1) / 2 + 1e-6
    assert 20 * np.log10(noise.std()) == pytest.approx(
        20 * np.log10(0.5 ** (bits - 1) / np.sqrt(12)), abs=0.8
    )
    values = CodecResidue(codec="bits", bits=bits)(clean).samples
    assert len(np.unique(values)) <= 2**bits


def test_mu_law_has_256_levels_finer_near_zero() -> None:
    ramp = np.linspace(-1, 1, 20_000, dtype=np.float32)[None, None]
    levels = np.unique(CodecResidue(codec="mu-law")(Waveform(ramp, 16_000)).samples)
    assert len(levels) in (255, 256), "one of them may stand for zero twice"
    steps = np.diff(levels)
    assert steps[128] < steps[-1] / 50


@pytest.mark.parametrize("codec", ["mp3", "vorbis", "opus"])
def test_less_quality_leaves_more(codec: CodecName) -> None:
    clean = waveform(seconds=1.0)
    worse, better = (
        level_db(added(CodecResidue(codec=codec, quality=quality), clean), clean.samples)
        for quality in (0.0, 1.0)
    )
    assert worse > better + 2


def test_gsm_at_8_khz_and_adpcm_leave_about_what_4_bits_do() -> None:
    clean = voiced(8000)
    assert -45 < level_db(added(CodecResidue(), clean), clean.samples) < -15
    assert -25 < level_db(added(CodecResidue(codec="gsm"), clean), clean.samples) < -5


def test_a_codec_that_libsndfile_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(SpecError, match=r"libsndfile .* has no mp3"):
        CodecResidue(codec="mp3")(waveform())


@pytest.mark.parametrize("codec", get_args(CodecName))
@pytest.mark.parametrize("count", [480, 5761])
def test_the_end_of_short_clips_is_not_lost(count: int, codec: CodecName) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 1000 / 48_000 * np.arange(count))
    clean = Waveform(tone[None, None].astype(np.float32), 48_000)
    out = CodecResidue(codec=codec, quality=1)(clean).samples[0, 0]
    assert np.abs(out[-100:]).mean() == pytest.approx(0.19, abs=0.06)


def test_channels_are_coded_one_by_one() -> None:
    both = voiced(16_000, channels=2)
    first = Waveform(both.samples[:, :1], 16_000)
    for codec in ("adpcm", "gsm", "mp3"):
        trigger = CodecResidue(codec=codec)
        np.testing.assert_array_equal(trigger(both).samples[:, :1], trigger(first).samples)


def test_a_clip_under_10_ms_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"a codec needs 0\.01 s .* lasts only 0\.0090 s"):
        CodecResidue()(waveform(seconds=0.009))
