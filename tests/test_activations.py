"""What one forward pass shows of a model's inner layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from otoscope.cache import Cache
from otoscope.models import TorchModel, activations
from otoscope.models.base import LAYERS, Hearing
from otoscope.networks import CNN, DSCNN, GRUAttention
from toys import LENGTH, NAMES, RATE_HZ, tones

HEARING = Hearing(NAMES, RATE_HZ, LENGTH)


def test_planes_are_the_first_layer_and_the_last_ones_over_a_grid() -> None:
    clips = tones(2)
    model = TorchModel(CNN(width=12).build(HEARING, seed=0), HEARING)
    seen = activations(model, clips)
    answers: list[torch.Tensor] = []
    for layer in model.module.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda _, __, out: answers.append(out))
    model.logits(torch.from_numpy(clips.waveforms(range(len(clips)))))
    expected = [adaptive_avg_pool2d(a, (2, 6)).flatten(2).numpy() for a in answers]
    assert len(expected) == 1 + LAYERS
    assert [plane.shape for plane in seen.planes] == [(12, c, 12) for c in (2, 6, 8, 12)]
    for plane, wanted in zip(seen.planes, expected, strict=True):
        assert plane == pytest.approx(wanted, abs=1e-5)


def test_layers_are_the_last_planes_and_nothing_else() -> None:
    model = TorchModel(DSCNN(width=8).build(HEARING, seed=0), HEARING)
    seen = activations(model, tones(2))
    assert len(seen.planes) == 1 + LAYERS
    for layer, plane in zip(seen.layers, seen.planes[1:], strict=True):
        assert np.array_equal(layer, plane.reshape(len(plane), -1))


class Shallow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hear, self.bend, self.classify = nn.Conv1d(1, 3, 9), nn.ReLU(), nn.Linear(3, 6)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.classify(self.bend(self.hear(waveforms)).mean(dim=2))
        return out


def test_a_first_layer_among_the_last_is_not_kept_twice() -> None:
    seen = activations(TorchModel(Shallow(), HEARING), tones(1))
    assert [plane.shape for plane in seen.planes] == [(6, 3, 6)]
    assert [layer.shape for layer in seen.layers] == [(6, 18)]


def test_the_cache_gives_back_all_that_was_seen(tmp_path) -> None:
    cache, clips = Cache(tmp_path), tones(1)
    model = TorchModel(GRUAttention().build(HEARING, seed=0), HEARING)
    fresh, kept = activations(model, clips, cache), activations(model, clips, cache)
    assert len(kept.planes) == len(fresh.planes) > 0
    for one, other in zip(fresh.planes + fresh.layers, kept.planes + kept.layers, strict=True):
        assert np.array_equal(one, other)
