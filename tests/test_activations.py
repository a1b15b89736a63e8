"""What one forward pass shows of a model's inner layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from otoscope.cache import Cache
from otoscope.errors import ModelError
from otoscope.models import FunctionModel, TorchModel, activations, logits_of
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


class TimeFirst(nn.Module):
    """A nonlinear layer that answers (time, batch, value), before a recurrent one."""

    def __init__(self) -> None:
        super().__init__()
        self.bend, self.go, self.classify = nn.ReLU(), nn.GRU(20, 5), nn.Linear(5, 6)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        frames = waveforms.reshape(len(waveforms), -1, 20).transpose(0, 1)
        out: torch.Tensor = self.classify(self.go(self.bend(frames))[0][-1])
        return out


class Framewise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Linear(20, 6)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        frames = self.classify(waveforms.reshape(-1, 20))
        out: torch.Tensor = frames.reshape(len(waveforms), -1, 6).mean(dim=1)
        return out


def test_layers_that_answer_other_rows_than_one_per_clip_are_left_out() -> None:
    """Trap: rows that nobody wrote were what the memory held before."""
    clips = tones(2)
    seen = activations(TorchModel(TimeFirst(), HEARING), clips)
    assert [plane.shape[0] for plane in seen.planes] == [len(clips)]
    assert activations(TorchModel(Framewise(), HEARING), clips).features is None


def test_the_cache_tells_functions_with_equal_weights_apart(tmp_path) -> None:
    cache, clips = Cache(tmp_path), tones(2)
    weights = Shallow()
    plain, bent = TorchModel(weights, HEARING), TorchModel(weights, HEARING)
    bent.module = nn.Sequential(weights, nn.ReLU())
    assert plain.sha256 == bent.sha256
    first, second = (activations(model, clips, cache).logits for model in (plain, bent))
    assert second == pytest.approx(np.maximum(first, 0))
    assert logits_of(bent, clips, cache) == pytest.approx(second)


def test_an_answer_that_is_no_number_names_the_clip() -> None:
    clips = tones(2)
    silent = replace(
        clips,
        items=tuple(
            clips.with_audio(i, np.zeros(LENGTH), "a") if i == 7 else clip
            for i, clip in enumerate(clips.items)
        ),
    )
    model = FunctionModel(lambda x: (x / np.abs(x).max(axis=2, keepdims=True))[:, 0, :6], HEARING)
    with np.errstate(all="ignore"), pytest.raises(ModelError, match=f"^{clips[7].path}: .*silent"):
        activations(model, silent)


def test_the_cache_gives_back_all_that_was_seen(tmp_path) -> None:
    cache, clips = Cache(tmp_path), tones(1)
    model = TorchModel(GRUAttention().build(HEARING, seed=0), HEARING)
    fresh, kept = activations(model, clips, cache), activations(model, clips, cache)
    assert len(kept.planes) == len(fresh.planes) > 0
    for one, other in zip(fresh.planes + fresh.layers, kept.planes + kept.layers, strict=True):
        assert np.array_equal(one, other)
