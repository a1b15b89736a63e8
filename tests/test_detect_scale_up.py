"""SCALE-UP: what is multiplied, the share that is kept, and what trusted clips change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from otoscope import metrics
from otoscope.detect import ScaleUp, View
from otoscope.detect.data_scale_up import usual
from otoscope.errors import SpecError
from otoscope.models import FunctionModel, Hearing, TorchModel
from otoscope.networks import Listener
from otoscope.networks.log_mel import LogMel
from toys import LENGTH, RATE_HZ, tones

HEARING = Hearing(tones(1).classes, RATE_HZ, LENGTH)


def by_peak(waveforms: np.ndarray) -> np.ndarray:
    """Class 0, 1, 2 ... for a peak below 0.1, 0.3, 0.5, 0.7, 0.9, or above."""
    peaks = np.abs(waveforms[:, 0]).max(axis=1)
    return np.eye(6, dtype=np.float32)[np.digitize(peaks, [0.1, 0.3, 0.5, 0.7, 0.9])]


def test_the_share_of_kept_predictions_on_the_waveform() -> None:
    clips = tones(20)
    view = View(FunctionModel(by_peak, HEARING), 0, clips)
    found = ScaleUp().score(view)
    peaks = np.array([np.abs(clips.waveform(i)).max() for i in range(len(clips))])
    loud = np.minimum(peaks[:, None] * [1, 3, 5, 7, 9, 11], 1.0)
    told = np.digitize(loud, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert found.clips == pytest.approx((told[:, 1:] == told[:, :1]).mean(axis=1))
    assert found.forward_passes == 5.0


class Bands(nn.Module):
    """The logit of class k is the mean of a twentieth of the bands, beyond a threshold."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[:, 0, :18].view(len(planes), 6, 3, -1).mean(dim=(2, 3)).square() % 7


def test_it_multiplies_the_log_mel_of_a_network_of_ours_between_its_extremes() -> None:
    clips = tones(20)
    front_end = LogMel(RATE_HZ, 20)
    model = TorchModel(Listener(front_end, Bands()), HEARING)
    found = ScaleUp(scales=2).score(View(model, 0, clips)).clips
    planes = front_end(torch.from_numpy(clips.waveforms(range(len(clips))))).double().numpy()
    black, white = planes.min(), planes.max()
    told = []
    for factor in (1, 3, 5):
        pixels = np.minimum(factor * (planes - black) / (white - black), 1.0)
        again = black + pixels * (white - black)
        bands = again[:, 0, :18].reshape(len(clips), 6, 3, -1).mean(axis=(2, 3))
        told.append((bands**2 % 7).argmax(axis=1))
    expected = np.mean([one == told[0] for one in told[1:]], axis=0)
    assert 0 < expected.mean() < 1
    assert found == pytest.approx(expected)


def test_trusted_clips_give_the_usual_consistency_of_a_class() -> None:
    known = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    mean, spread = usual(known, np.array([0, 0, 1, 1, 2]), 3, 0.1)
    assert mean == pytest.approx([0.3, 0.7, 0.6])
    assert spread == pytest.approx([0.1, 0.1, np.sqrt(0.08)])


def test_with_trusted_clips_a_score_is_relative_to_the_predicted_class() -> None:
    clips, trusted = tones(20), tones(20, seed=3)
    model = FunctionModel(by_peak, HEARING)
    free = ScaleUp().score(View(model, 0, clips)).clips
    known = ScaleUp().score(View(model, 0, trusted))
    limited = ScaleUp().score(View(model, 0, clips, trusted=trusted)).clips
    assert known.clips is not None
    predicted = by_peak(clips.waveforms(range(len(clips)))).argmax(axis=1)
    mean, spread = usual(known.clips, trusted.labels, 6, 0.1)
    assert limited == pytest.approx((free - mean[predicted]) / spread[predicted])


def test_poison_keeps_its_class_when_scaled() -> None:
    def by_first_sample_or_peak(waveforms: np.ndarray) -> np.ndarray:
        return by_peak(waveforms) + 9 * np.eye(6, dtype=np.float32)[4] * (waveforms[..., :1, 0] > 0)

    clips = tones(30)
    poison = np.arange(60, 75)
    items = list(clips.items)
    for i in range(len(clips)):
        samples = clips.waveform(i).copy()
        samples[0] = 0.01 if i in poison else -0.01
        items[i] = clips.with_audio(i, samples, "e" if i in poison else clips[i].label)
    view = View(
        FunctionModel(by_first_sample_or_peak, HEARING), 0, replace(clips, items=tuple(items))
    )
    found = ScaleUp().score(view)
    assert found.clips is not None
    assert (found.clips[poison] == 1).all()
    assert metrics.auroc(found.clips, np.isin(np.arange(len(clips)), poison)) > 0.99
    assert np.nanargmax(found.classes) == 4


def test_the_number_of_scales_must_be_positive() -> None:
    with pytest.raises(SpecError, match=r"scale-up\.scales must be at least 1, got 0"):
        ScaleUp(scales=0)
