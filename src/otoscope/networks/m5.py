"""A convolutional network on the waveform itself."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from otoscope.models import Hearing
from otoscope.networks.base import Network


class _M5Body(nn.Module):
    def __init__(self, width: int, stride: int, classes: int, dropout: float) -> None:
        super().__init__()
        widths = [width, width, 2 * width, 2 * width]
        layers: list[nn.Module] = []
        before, kernel, step = 1, 80, stride
        for after in widths:
            layers += [
                nn.Conv1d(before, after, kernel, step, kernel // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
                nn.MaxPool1d(4),
            ]
            before, kernel, step = after, 3, 1
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(widths[-1], classes)

    def forward(self, waveforms: Tensor) -> Tensor:
        out: Tensor = self.classify(self.dropout(self.layers(waveforms).mean(dim=2)))
        return out


@dataclass(frozen=True)
class M5(Network):
    """M5 (Dai et al., 1610.00087): four 1-D convolutions, the first with a receptive field of 80.

    Deviation: stride 8 in the first layer for speech at 16 kHz (the paper has 4 at 8 kHz), which
    keeps the same step in seconds.
    """

    name: ClassVar[str] = "m5"
    width: int = 64
    stride: int = 8
    dropout: float = 0.2

    def front_end(self, hearing: Hearing) -> nn.Module:
        return nn.Identity()

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return _M5Body(self.width, self.stride, classes, self.dropout)
