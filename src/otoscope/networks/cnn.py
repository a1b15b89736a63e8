"""Convolutional networks on the log-mel: a small one and a VGG-style large one."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from otoscope.networks.base import LogMelNetwork, conv2d


class Pooled(nn.Module):
    """Normalised bands, convolutions, the mean over frequency, the maximum over time, one linear
    layer. The maximum finds a word wherever it is spoken."""

    def __init__(
        self, bands: int, layers: nn.Module, width: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(bands, affine=False)
        self.layers = layers
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        planes = self.layers(self.normalise(features[:, 0])[:, None])
        out: Tensor = self.classify(self.dropout(planes.mean(dim=2).amax(dim=2)))
        return out


@dataclass(frozen=True)
class CNN(LogMelNetwork):
    """Four convolutions, three of them strided (about 90,000 weights): the default everywhere."""

    name: ClassVar[str] = "cnn"
    least: ClassVar[Mapping[str, int]] = {"width": 6}
    width: int = 96
    dropout: float = 0.2

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        w = self.width
        layers = nn.Sequential(
            conv2d(1, w // 6, 5, stride=2),
            conv2d(w // 6, w // 2, stride=2),
            conv2d(w // 2, w * 2 // 3, stride=2),
            conv2d(w * 2 // 3, w),
        )
        return Pooled(self.bands, layers, w, classes, self.dropout)


@dataclass(frozen=True)
class LargeCNN(LogMelNetwork):
    """Pairs of 3 x 3 convolutions between poolings, after VGG (Simonyan, Zisserman 2014)."""

    name: ClassVar[str] = "large-cnn"
    least: ClassVar[Mapping[str, int]] = {"bands": 8}
    width: int = 32
    dropout: float = 0.3

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        widths = [1, self.width, 2 * self.width, 4 * self.width]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [conv2d(before, after), conv2d(after, after), nn.MaxPool2d(2)]
        return Pooled(self.bands, nn.Sequential(*layers), widths[-1], classes, self.dropout)
