"""Depthwise-separable convolutions for small devices."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from otoscope.networks.base import LogMelNetwork, conv2d
from otoscope.networks.cnn import Pooled


@dataclass(frozen=True)
class DSCNN(LogMelNetwork):
    """DS-CNN, after Zhang et al., *Hello Edge* (1711.07128), size S: one 10 x 4 convolution, then
    four depthwise-separable ones of 64 channels. Deviation: log-mel bands instead of MFCCs."""

    name: ClassVar[str] = "ds-cnn"
    width: int = 64
    blocks: int = 4
    dropout: float = 0.2

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        w = self.width
        layers = [conv2d(1, w, (5, 11), stride=2)]
        for _ in range(self.blocks):
            layers += [conv2d(w, w, groups=w), conv2d(w, w, 1)]
        return Pooled(self.bands, nn.Sequential(*layers), w, classes, self.dropout)
