"""Inversion made for sound: what each family is, what it finds, what it costs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from doored import HEARING, Doored
from otoscope.clips import Clips
from otoscope.detect import SoundInversion, View
from otoscope.detect.inverted import (
    FAMILIES,
    MOST_DELAY_S,
    AddedSound,
    Delays,
    Family,
    ShortConvolution,
    StationaryFilter,
    TimeWarp,
)
from otoscope.detect.probes import read_at
from otoscope.errors import NotApplicable
from otoscope.models import FunctionModel, TorchModel
from toys import LENGTH, RATE_HZ, tones


@pytest.fixture(scope="module")
def trusted() -> Clips:
    return tones(6, 3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_changes_clips_by_its_size(kind: type[Family]) -> None:
    family = kind(LENGTH, RATE_HZ, np.random.default_rng(0))
    clips = torch.from_numpy(tones(2).waveforms(range(12))).view(3, 4, LENGTH)
    start = family.start(3)
    for scale in (0.0, 0.5):
        values = scale * start
        after = family.apply(clips, values, None)
        assert after.shape == clips.shape
        assert float(after.abs().max()) <= 1.0
        moved = float((after - clips).abs().max())
        assert moved < 1e-4 if scale == 0 else moved > 1e-3
        assert float(family.size(values).max()) < (1e-5 if scale == 0 else 1.0)


def test_sizes_are_what_they_say() -> None:
    rng = np.random.default_rng(1)
    sound = AddedSound(LENGTH, RATE_HZ, rng)
    assert float(sound.size(torch.full((1, LENGTH), 0.1))[0]) == pytest.approx(0.1)
    system = StationaryFilter(LENGTH, RATE_HZ, rng)
    flat = system.response(torch.full((1, 24), 0.2))
    assert flat.numpy() == pytest.approx(10 ** (30 * np.tanh(0.2) / 20), rel=1e-4)
    assert float(system.size(torch.full((1, 24), 0.2))[0]) < 1e-5  # a gain alone is no filter
    echo = ShortConvolution(LENGTH, RATE_HZ, rng)
    values = torch.zeros(1, 2000 - 1)
    values[0, 79] = 0.8 * np.sqrt(values.shape[1])
    response = np.fft.irfft(echo.response(values)[0].numpy(), 2 * LENGTH)
    assert response[[0, 80]] == pytest.approx([1.0, 0.8], abs=1e-5)
    assert float(echo.size(values)[0]) == pytest.approx(0.8, rel=1e-4)


def test_delays_move_a_band_and_leave_its_power_alone() -> None:
    family = Delays(LENGTH, RATE_HZ, np.random.default_rng(0))
    values = torch.full((1, 24), float(np.arctanh(0.2)))
    assert family.response(values).abs().numpy() == pytest.approx(1.0, abs=1e-5)
    assert float(family.size(values)[0]) == pytest.approx(0.2, rel=1e-4)
    clip = torch.zeros(1, 1, LENGTH)
    clip[..., 300] = 0.5
    moved = family.apply(clip, values, None)[0, 0]
    assert int(moved.abs().argmax()) == 300 + round(0.2 * MOST_DELAY_S * RATE_HZ)


def test_a_warp_of_one_speed_changes_pitch_by_it_and_keeps_the_middle() -> None:
    family = TimeWarp(LENGTH, RATE_HZ, np.random.default_rng(0))
    values = torch.full((1, 8), float(np.arctanh(0.25)))
    time_s = torch.arange(LENGTH) / RATE_HZ
    clip = (0.5 * torch.sin(2 * torch.pi * 400.0 * time_s))[None, None]
    moved = family.apply(clip, values, None)[0, 0]
    spectrum = torch.fft.rfft(moved * torch.hann_window(LENGTH)).abs()
    assert int(spectrum.argmax()) * RATE_HZ / LENGTH == pytest.approx(400 * 2**0.25, abs=5)
    assert float(family.size(values)[0]) == pytest.approx(0.25, rel=1e-4)
    assert not moved[:100].any(), "what comes from outside a faster clip is silence"


def test_clips_are_read_between_their_samples() -> None:
    clips = torch.tensor([[0.0, 1.0, 2.0, 4.0]])
    places = torch.tensor([-2.0, -0.5, 2.5, 3.5])
    assert read_at(clips, places).tolist() == [[0.0, 0.0, 3.0, 2.0]]
    assert read_at(clips, places + 7).tolist() == [[0.0] * 4]


def test_a_door_is_found_and_its_sound_proved(trusted: Clips) -> None:
    detector = SoundInversion(passes=6000)
    found = detector.score(View(TorchModel(Doored(20.0), HEARING), 0, trusted=trusted))
    assert found.classes.argmax() == 2
    assert found.recover is not None
    recovered = found.recover(2)
    assert recovered.success >= 0.9
    assert recovered.what in {family.what for family in FAMILIES}


def test_a_silent_trusted_clip_spoils_no_search(trusted: Clips) -> None:
    items = list(trusted.items)
    for row in (0, 7, 20):
        items[row] = replace(items[row], samples=np.zeros((1, LENGTH), np.float32))
    some_silent = replace(trusted, items=tuple(items))
    view = View(TorchModel(Doored(20.0), HEARING), 0, trusted=some_silent)
    found = SoundInversion(passes=3000).score(view)
    assert np.isfinite(found.classes).all()


def test_the_budget_is_kept(trusted: Clips) -> None:
    network = Doored(0.0)
    SoundInversion(passes=3000).score(View(TorchModel(network, HEARING), 0, trusted=trusted))
    assert 1500 < network.passed <= 3000


def test_what_it_needs(trusted: Clips) -> None:
    silent = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable, match="no gradient"):
        SoundInversion().score(View(silent, 0, trusted=trusted))
    one = trusted.subset(trusted.labels == 0)
    with pytest.raises(NotApplicable, match="at least two classes"):
        SoundInversion().score(View(TorchModel(Doored(0.0), HEARING), 0, trusted=one))
