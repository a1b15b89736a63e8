"""IBD-PSC: which layers are amplified, what the copies say, and the model left as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from otoscope import metrics
from otoscope.detect import IbdPsc, View
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import FunctionModel, Hearing, TorchModel
from poisoned import poisoned
from toys import LENGTH, RATE_HZ, tones

HEARING = Hearing(tones(1).classes, RATE_HZ, LENGTH)


def two_layers() -> TorchModel:
    """A clip's first six samples, which are noise, through three batch normalisations."""
    torch.manual_seed(0)
    layers = [nn.BatchNorm1d(6, affine=False), nn.BatchNorm1d(6), nn.Tanh(), nn.BatchNorm1d(6)]
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean.normal_(0, 0.01 if layer is layers[0] else 0.5)
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    layers[0].running_var.fill_(1e-4)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layers(waveforms[:, 0, :6])
            return out

    return TorchModel(Net(), HEARING)


def by_hand(model: TorchModel, waveforms: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    """The same network in numpy, its two normalisations with weights multiplied."""
    plain, one, _, two = model.module.layers
    x = waveforms[:, 0, :6].astype(np.float64)
    for layer, factor in ((plain, 1.0), (one, factors[0]), (two, factors[1])):
        x = (x - layer.running_mean.numpy()) / np.sqrt(layer.running_var.numpy() + layer.eps)
        if layer.affine:
            x = factor * (x * layer.weight.numpy() + layer.bias.numpy())
        x = np.tanh(x) if layer is one else x
    return np.asarray(x)


def test_the_copies_confidence_is_that_of_an_amplified_network() -> None:
    model, clips = two_layers(), tones(20)
    waveforms = clips.waveforms(range(len(clips)))
    before = {name: t.clone() for name, t in model.module.state_dict().items()}
    found = IbdPsc(models=2, factor=3.0, error_rate=0.01).score(View(model, 0, clips))
    predicted = by_hand(model, waveforms, (1, 1)).argmax(axis=1)
    told = [softmax(by_hand(model, waveforms, f), axis=1) for f in ((1, 3), (3, 3))]
    expected = np.mean([p[np.arange(len(clips)), predicted] for p in told], axis=0)
    assert found.clips == pytest.approx(expected, rel=1e-4)
    assert found.forward_passes == 3.0  # two copies judge, one was tried on the same clips
    assert all(torch.equal(before[name], t) for name, t in model.module.state_dict().items())


def test_layers_are_added_from_the_last_on_until_trusted_clips_are_misheard() -> None:
    model, clips = two_layers(), tones(20)
    waveforms = clips.waveforms(range(len(clips)))
    predicted = by_hand(model, waveforms, (1, 1)).argmax(axis=1)
    items = (
        replace(c, label=clips.classes[k]) for c, k in zip(clips.items, predicted, strict=True)
    )
    known = replace(clips, items=tuple(items))
    one, two = (
        (by_hand(model, waveforms, factors).argmax(axis=1) != predicted).mean()
        for factors in ((1, 9), (9, 9))
    )
    assert one == 0 < two  # amplifying the last layer alone turns no prediction here
    found = IbdPsc(models=1, factor=9.0, error_rate=two / 2).score(
        View(model, 0, clips, trusted=known)
    )
    expected = softmax(by_hand(model, waveforms, (9, 9)), axis=1)
    assert found.clips == pytest.approx(expected[np.arange(len(clips)), predicted], rel=1e-4)
    assert found.forward_passes == 1.0


def test_poison_stays_confident() -> None:
    planted = poisoned()
    found = IbdPsc().score(planted.view).clips
    assert found is not None
    assert metrics.auroc(found, planted.truth) > 0.9


def test_without_batch_normalisation_it_is_not_applicable() -> None:
    clips = tones(20)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(LENGTH, 6))
    with pytest.raises(NotApplicable, match="no batch normalisation"):
        IbdPsc().score(View(TorchModel(plain, HEARING), 0, clips))
    deaf = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable, match="not a torch module"):
        IbdPsc().score(View(deaf, 0, clips))


@pytest.mark.parametrize("wrong", [{"models": 0}, {"factor": 1.0}, {"error_rate": 1.0}])
def test_senseless_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="must"):
        IbdPsc(**wrong)  # type: ignore[arg-type]
