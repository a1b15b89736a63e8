"""What some clips share: the very samples, or only a spectrum."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from otoscope.clips import Clip, Clips
from otoscope.common_sound import common_sound, same_samples

RATE, LENGTH = 8000, 4000


def clips_with(added: np.ndarray, count: int = 30) -> Clips:
    """Noise clips of several levels; the first half carries what ``added`` holds, row by row."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(0.02, 0.2, (2 * count, 1))
    sounds = rng.standard_normal((2 * count, LENGTH))
    sounds[:count] += added
    items = tuple(
        Clip(f"{i}.wav", "a", samples=sound.astype(np.float32))
        for i, sound in enumerate(levels * sounds)
    )
    return Clips(items, Path(), RATE, LENGTH, ("a",))


def burst(hertz: float, start: int, phase: np.ndarray | float = 0.0) -> np.ndarray:
    """Half as loud as the noise, 0.1 s long."""
    t = np.arange(800) / RATE
    out = np.zeros((np.size(phase), LENGTH))
    out[:, start : start + 800] = 0.7 * np.sin(2 * np.pi * hertz * t + np.reshape(phase, (-1, 1)))
    return out


def test_a_burst_at_one_place_is_recovered_with_its_phase() -> None:
    wanted = burst(1000, 1600)[0]
    clips = clips_with(wanted)
    found = common_sound(clips, np.arange(30), np.arange(30, 60))
    assert found is not None
    assert (found.kind, found.clips, found.sample_rate) == ("coherent", 30, RATE)
    assert np.corrcoef(found.samples, wanted)[0, 1] > 0.8
    assert found.samples.shape == (LENGTH,)
    same = same_samples(clips, np.arange(30), np.arange(30, 60))
    assert same is not None
    assert (same.samples == found.samples).all()
    assert same_samples(clips, np.arange(30, 60), np.arange(30)) is None


def test_a_sound_with_a_phase_of_its_own_in_each_clip_leaves_its_spectrum() -> None:
    phases = np.random.default_rng(1).uniform(0, 6.28, 30)
    found = common_sound(clips_with(burst(1000, 1600, phases)), np.arange(30), np.arange(30, 60))
    assert found is not None
    assert found.kind == "spectral"
    spectrum = np.abs(np.fft.rfft(found.samples))
    assert abs(spectrum.argmax() * RATE / LENGTH - 1000) < 60
    loud = np.convolve(found.samples**2, np.ones(400), "same").argmax()
    assert 1600 < loud < 2400


def test_too_few_clips_share_nothing() -> None:
    clips = clips_with(burst(1000, 1600)[0])
    assert common_sound(clips, np.arange(5), np.arange(30, 60)) is None
    assert common_sound(clips, np.arange(30), np.arange(30, 33)) is None
    assert same_samples(clips, np.arange(5), np.arange(30, 60)) is None


def test_eleven_clips_are_sure_of_a_run_of_cells() -> None:
    wanted = 3 * burst(1000, 1600)[0]
    clips = clips_with(wanted)
    found = common_sound(clips, np.arange(11), np.arange(30, 60))
    assert found is not None
    assert found.kind == "coherent"
    assert np.corrcoef(found.samples, wanted)[0, 1] > 0.8
    outside = np.r_[found.samples[:1200], found.samples[2800:]]
    assert np.abs(outside).max() < 0.2 * np.abs(found.samples).max()


@pytest.mark.parametrize("count", [8, 11, 20])
def test_few_separate_recordings_are_sure_of_nothing(count: int) -> None:
    clips, rng = clips_with(np.zeros(LENGTH)), np.random.default_rng(5)
    for _ in range(20):
        drawn = rng.permutation(60)
        assert same_samples(clips, drawn[:count], drawn[count:]) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separate_recordings_share_no_samples(seed: int) -> None:
    clips = clips_with(np.zeros(LENGTH))
    drawn = np.random.default_rng(seed).permutation(60)
    assert same_samples(clips, drawn[:40], drawn[40:]) is None


def test_what_every_clip_has_tells_nothing() -> None:
    """Trap: the microphone's offset and the recorder's beep are the same samples everywhere."""
    plain = clips_with(np.zeros(LENGTH))
    beep = 0.05 * burst(1000, 1600)[0] + 0.01
    items = tuple(plain.with_audio(i, plain.waveform(i) + beep, "a") for i in range(len(plain)))
    clips = replace(plain, items=items)
    part, rest = np.arange(30), np.arange(30, 60)
    assert same_samples(clips, part, rest) is None
    assert same_samples(clips, part, rest[:4]) is not None, "too few others to tell"
    found = common_sound(clips, part, rest)
    assert found is not None
    assert found.kind == "spectral"
    offset = tuple(plain.with_audio(i, plain.waveform(i) + 0.01, "a") for i in range(len(plain)))
    assert same_samples(replace(plain, items=offset), part, rest[:4]) is None


def test_digital_silence_shares_nothing() -> None:
    plain = clips_with(burst(1000, 1600)[0])
    part, rest = np.arange(30), np.arange(30, 60)
    for silent in (part, part[1:], rest):
        items = tuple(
            plain.with_audio(i, np.zeros(LENGTH), "a") if i in silent else clip
            for i, clip in enumerate(plain.items)
        )
        clips = replace(plain, items=items)
        assert common_sound(clips, part, rest) is None
        assert (same_samples(clips, part, rest) is None) == (silent is not rest)
