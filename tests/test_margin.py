"""Maximum margins: a closed form, the paper's null, what it needs."""

import numpy as np
import pytest
import torch
from scipy.stats import gamma
from torch import nn

from otoscope.detect import MaximumMargin, View
from otoscope.detect.model_margin import PEAK, gamma_p_value
from otoscope.errors import NotApplicable
from otoscope.models import FunctionModel, Hearing, TorchModel
from toys import NAMES, RATE_HZ

LENGTH = 64
HEARING = Hearing(NAMES, RATE_HZ, LENGTH)


class Linear(nn.Module):
    """Logits that are scaled sums of six separate stretches of the waveform."""

    def __init__(self, gains: list[float]) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.tensor(gains))

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        parts = waveforms[:, 0, :60].view(len(waveforms), 6, 10).sum(dim=2)
        return parts * self.gains


def test_the_margin_of_a_linear_model_is_known() -> None:
    gains = [1.0, 1.0, 3.0, 1.0, 1.0, 1.0]
    detector = MaximumMargin(steps=300, learning_rate=0.3)
    found = detector.score(View(TorchModel(Linear(gains), HEARING), 0))
    # a class is highest with its own stretch at the peak and all others at minus the peak
    expected = [10 * PEAK * (g + min(1.0, *gains)) for g in gains]
    assert np.exp(found.classes) == pytest.approx(expected, rel=0.02)
    assert found.classes.argmax() == 2


def test_the_gamma_null_matches_its_definition() -> None:
    margins = np.array([2.0, 2.2, 1.9, 2.5, 2.1, 9.0])
    shape, _, scale = gamma.fit(margins[:-1], floc=0)
    draws = gamma.rvs(shape, scale=scale, size=(200_000, 6), random_state=0).max(axis=1)
    assert gamma_p_value(margins) < 0.001
    milder = np.array([*margins[:-1], 2.6])
    assert gamma_p_value(milder) == pytest.approx(np.mean(draws >= 2.6), abs=0.01)


def test_it_needs_gradients() -> None:
    silent = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable, match="no gradient"):
        MaximumMargin().score(View(silent, 0))
