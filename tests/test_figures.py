"""Where two recordings differ, what groups share, and the pictures of both."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from conftest import sine
from otoscope import report
from otoscope.errors import AudioError, NotApplicable, SpecError, UnreadableAudio
from otoscope.evidence import Evidence
from otoscope.report import charts, figures
from otoscope.report.canvas import png, printable, thumbnail
from otoscope.report.groups import compare_groups
from otoscope.report.spectra import Region, find_region, signed_db, spectrogram
from reports import full_verdict, poisoned, verdict_of
from sounds import clips_of, speechlike

RATE = 16_000


def clip(seconds: float = 1.0) -> np.ndarray:
    return speechlike(count=round(seconds * RATE))[0, 0] * np.float32(0.5)


def burst(start_s: float, stop_s: float, frequency_hz: float, peak: float = 0.05) -> np.ndarray:
    out = np.zeros(RATE, dtype=np.float32)
    tone = sine(frequency_hz, stop_s - start_s, RATE, peak) * np.hanning(
        round((stop_s - start_s) * RATE)
    ).astype(np.float32)
    out[round(start_s * RATE) :][: len(tone)] = tone
    return out


def test_a_full_scale_sine_is_at_0_db() -> None:
    picture = spectrogram(sine(1000, 1.0, RATE, peak=1.0), RATE)
    middle = picture.decibels[:, picture.power.shape[1] // 2]
    assert middle.max() == pytest.approx(0, abs=0.1)
    assert middle.argmax() * picture.bin_hz == pytest.approx(1000, abs=picture.bin_hz)


@pytest.mark.parametrize("count", [1, 7, 400, 16_000, 480_000])
def test_no_moment_goes_unseen(count: int) -> None:
    """A click anywhere shows, however short or long the recording is."""
    for place in {0, count // 3, count - 1}:
        samples = np.zeros(count, dtype=np.float32)
        samples[place] = 1
        picture = spectrogram(samples, RATE)
        seen_s = picture.power.max(axis=0).argmax() * picture.hop_s
        assert picture.power.max() > 1e-6
        assert seen_s == pytest.approx(place / RATE, abs=0.0125)


def test_region_of_a_tone_burst() -> None:
    change = burst(0.3, 0.4, 3000)
    region = find_region(clip(), clip() + change, RATE)
    assert region is not None
    assert (region.start_s, region.stop_s) == pytest.approx((0.3, 0.4), abs=0.02)
    assert 2800 < region.low_hz < 3000 < region.high_hz < 3200
    part = change[int(0.3 * RATE) : int(0.4 * RATE)]
    level = 20 * np.log10(np.sqrt(np.mean(part**2)) / np.sqrt(np.mean(clip() ** 2)))
    assert region.level_db == pytest.approx(level, abs=1.5)


def test_region_of_a_tone_near_nyquist() -> None:
    region = find_region(clip(), clip() + sine(7900, 1.0, RATE, 0.01), RATE)
    assert region is not None
    assert region.start_s < 0.02
    assert region.stop_s > 0.98
    assert 7700 < region.low_hz < 7900 < region.high_hz <= 8000
    assert str(region).endswith("7.8–8.0\u00a0kHz")


def test_a_region_in_words() -> None:
    assert str(Region(0.0, 0.1, 2812, 3188, -21)) == "0.00–0.10\u00a0s, 2.8–3.2\u00a0kHz"
    assert str(Region(0.4, 0.64, 141, 891, 1)) == "0.40–0.64\u00a0s, 140–890\u00a0Hz"
    assert signed_db(-20.6) == "−21\u00a0dB"
    assert signed_db(3) == "+3\u00a0dB"


def test_region_of_an_echo_begins_with_the_echo() -> None:
    echo = np.zeros(RATE, dtype=np.float32)
    echo[RATE // 5 :] = 0.3 * clip()[: -RATE // 5]
    region = find_region(clip(), clip() + echo, RATE)
    assert region is not None
    assert 0.18 < region.start_s < 0.4  # the echo of a quiet beginning is quiet
    assert region.high_hz - region.low_hz > 7000


def test_region_ignores_noise_far_below_the_trigger() -> None:
    noise = 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    region = find_region(clip(), clip() + burst(0.3, 0.4, 3000) + noise, RATE)
    assert region is not None
    assert (region.start_s, region.stop_s) == pytest.approx((0.3, 0.4), abs=0.02)
    assert region.high_hz - region.low_hz < 400


def test_noise_everywhere_is_a_region_of_everything() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    region = find_region(clip(), clip() + noise, RATE)
    assert region is not None
    assert region.start_s < 0.03
    assert region.stop_s > 0.97
    assert region.high_hz - region.low_hz > 7500


@pytest.mark.parametrize("change", [0.0, 0.9 / 32_768])
def test_no_region_without_a_difference_that_16_bits_would_keep(change: float) -> None:
    assert find_region(clip(), clip() + np.float32(change), RATE) is None


@pytest.mark.parametrize("shape", [(15_000,), (1, 16_000), (0,)])
def test_unlike_recordings_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="compare_files"):
        find_region(clip(), np.zeros(shape, dtype=np.float32), RATE)


def inked(figure: Figure) -> float:
    """Share of a picture that is not white."""
    pixels = imread(io.BytesIO(png(figure)))[..., :3]
    return float((pixels < 0.98).any(axis=-1).mean())


def texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(Text))


@pytest.mark.parametrize("seconds", [0.01, 1.0, 4.0])
def test_compare_draws_and_tells_the_region(seconds: float) -> None:
    clean = clip(seconds)
    other = clean.copy()
    other[: len(other) // 4] += sine(3000, seconds, RATE, 0.05)[: len(other) // 4]
    figure = report.compare(clean, other, RATE, names=("before", "after"))
    assert inked(figure) > 0.05
    said = texts(figure)
    assert "kHz" in said
    assert "re clip" in said
    assert "before" in said


def test_compare_says_that_equal_recordings_do_not_differ() -> None:
    figure = report.compare(clip(), clip(), RATE)
    assert "no difference" in texts(figure)
    assert inked(figure) > 0.05


def test_silence_can_be_drawn() -> None:
    silence = np.zeros(RATE, dtype=np.float32)
    assert inked(report.compare(silence, silence, RATE)) > 0.01
    assert thumbnail(spectrogram(silence, RATE)).startswith(b"\x89PNG")


def test_a_thumbnail_keeps_a_click_in_a_long_recording() -> None:
    samples = np.zeros(60 * RATE, dtype=np.float32)
    samples[30 * RATE] = 1
    pixels = imread(io.BytesIO(thumbnail(spectrogram(samples, RATE))))
    darkest = pixels[..., :3].sum(axis=-1).min(axis=0)
    assert darkest.argmin() / len(darkest) == pytest.approx(0.5, abs=0.02)


def test_groups_differ_where_the_trigger_is() -> None:
    bad = poisoned(seconds=0.5)
    groups = compare_groups(bad.clips, np.flatnonzero(bad.mask), np.flatnonzero(~bad.mask))
    assert groups.region.start_s == 0
    assert 0.03 < groups.region.stop_s < 0.15
    assert 2500 < groups.region.low_hz < 3000 < groups.region.high_hz < 3500
    assert groups.region.level_db > 5
    assert groups.peak > 3
    assert groups.count == (12, 48)
    assert inked(figures.group_difference(groups)) > 0.05


def test_too_small_a_group_is_not_compared() -> None:
    clips = clips_of("ab" * 10)
    with pytest.raises(NotApplicable, match="the flagged group holds 4 readable clips"):
        compare_groups(clips, np.arange(4), np.arange(4, 20))


def hostile(label: str) -> list[Figure]:
    scores = {label: 3.0, "no": 1.0}
    evidence = Evidence(detector="d", level="data", target=label, class_scores=scores)
    points = np.random.default_rng(0).normal(size=(3, 2))
    flags = np.array([True, False, False])
    return [
        charts.class_bars(evidence),
        charts.activation_map(points, [label, label, "no"], flags, label, truth=flags),
        report.compare(clip(), clip(), RATE, names=(label, label), title=label),
    ]


@pytest.mark.parametrize("label", ["$\\frac{$", "نعم", "はい", "a\nb\0", "x" * 500, "\udcff"])
def test_any_label_can_be_drawn(label: str) -> None:
    assert all(inked(figure) > 0.01 for figure in hostile(label))


def test_long_text_is_shortened_in_its_middle() -> None:
    assert printable("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"
    assert printable("short") == "short"


def test_class_bars_tells_how_many_classes_are_left_out() -> None:
    scores = {f"class {k}": float(k) for k in range(100)}
    figure = charts.class_bars(Evidence(detector="d", level="data", class_scores=scores))
    assert "70 lower ones left out" in texts(figure)
    assert "class 99" in texts(figure)


def test_charts_of_a_verdict() -> None:
    bad = poisoned()
    verdict = full_verdict(bad)
    assert verdict.exhibits.map is not None
    drawn = [
        charts.score_histogram(verdict.clips),
        charts.score_histogram(verdict_of(bad.clips, ~bad.mask & False).clips),
        charts.activation_map(
            verdict.exhibits.map, [f.label for f in verdict.clips], bad.mask, None
        ),
        charts.class_bars(verdict.evidence[0]),
        figures.recovered(verdict.exhibits.recovered[0]),
    ]
    assert all(inked(figure) > 0.01 for figure in drawn)


def test_a_p_value_of_0_can_be_drawn() -> None:
    bad = poisoned()
    findings = [
        f.model_copy(update={"p_value": 0.0, "score": float("inf")})
        for f in verdict_of(bad.clips, bad.mask).clips
    ]
    assert inked(charts.score_histogram(findings)) > 0.02


Write = Callable[..., Path]


def test_compare_files(write_sine: Write, tmp_path: Path) -> None:
    clean, other = write_sine("clean.wav", 440), write_sine("other.wav", 450)
    out = report.compare_files(clean, other, tmp_path / "new" / "out.png")
    assert imread(out).shape[2] >= 3


def test_compare_files_fits_unlike_recordings_and_says_so(
    write_sine: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = write_sine("clean.wav", seconds=0.3)
    other = write_sine("other.wav", seconds=0.2, rate=8000)
    titles: list[str] = []

    def listen(*args: object, title: str, **named: object) -> Figure:
        titles.append(title)
        return report.compare(*args, title=title, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("otoscope.report.files.compare", listen)
    report.compare_files(clean, other, tmp_path / "out.png")
    assert titles == [
        "other.wav resampled from 8,000 to 16,000 Hz; other.wav padded with 0.100 s of zeros"
    ]


def test_compare_files_names_the_recording_that_cannot_be_read(
    write_sine: Write, tmp_path: Path
) -> None:
    clean, out = write_sine("clean.wav"), tmp_path / "out.png"
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(UnreadableAudio, match=r"broken\.wav: not readable as audio"):
        report.compare_files(clean, tmp_path / "broken.wav", out)
    with pytest.raises(UnreadableAudio, match=r"gone\.wav: no such file"):
        report.compare_files(tmp_path / "gone.wav", clean, out)
    with pytest.raises(SpecError, match=r"expected the ending \.png"):
        report.compare_files(clean, clean, tmp_path / "out.pdf")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(UnreadableAudio, match=r"empty\.wav: holds no samples"):
        report.compare_files(clean, tmp_path / "empty.wav", out)
    assert not out.exists()


def test_a_sound_is_drawn_with_its_title() -> None:
    figure = figures.sound(burst(0.4, 0.6, 3000), RATE, "what 20 clips share")
    assert inked(figure) > 0.05
    assert "what 20 clips share" in texts(figure)
