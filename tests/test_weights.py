"""Weight statistics: the row of the last layer, and what it needs."""

import numpy as np
import pytest
import torch
from torch import nn

from otoscope.detect import View, WeightStatistics
from otoscope.errors import NotApplicable
from otoscope.models import FunctionModel, Hearing, TorchModel
from toys import NAMES, RATE_HZ

HEARING = Hearing(NAMES, RATE_HZ, 64)


def test_a_raised_row_stands_out() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 6))
    with torch.no_grad():
        network[3].weight[4] += 1.0
    found = WeightStatistics().score(View(TorchModel(network, HEARING), 0)).classes
    assert found == pytest.approx([float(row.mean()) for row in network[3].weight], abs=1e-6)
    assert found.argmax() == 4


def test_it_needs_the_weights_of_a_last_linear_layer() -> None:
    silent = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), HEARING)
    with pytest.raises(NotApplicable, match="out of reach"):
        WeightStatistics().score(View(silent, 0))
    middle = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.Unflatten(1, (6, 2)), nn.AvgPool1d(2)
    )
    with pytest.raises(NotApplicable, match="a row for each class"):
        WeightStatistics().score(View(TorchModel(middle, HEARING), 0))
