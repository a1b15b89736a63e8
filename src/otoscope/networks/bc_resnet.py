"""Broadcasted residual learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from otoscope.networks.base import LogMelNetwork, conv2d
from otoscope.networks.cnn import Pooled
from otoscope.registry import require


class SubSpectralNorm(nn.Module):
    """Batch normalisation apart for each of ``groups`` frequency ranges (Chang et al. 2021)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.norm = nn.BatchNorm2d(channels * groups)

    def forward(self, planes: Tensor) -> Tensor:
        b, c, f, t = planes.shape
        grouped = planes.reshape(b, c * self.groups, f // self.groups, t)
        out: Tensor = self.norm(grouped).reshape(b, c, f, t)
        return out


class Broadcasted(nn.Module):
    """Frequency-wise convolution, whose mean over frequency is convolved in time and added back."""

    def __init__(
        self, before: int, after: int, stride: int, dilation: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.same = before == after and stride == 1
        self.widen = nn.Identity() if before == after else conv2d(before, after, 1)
        self.over_frequency = nn.Sequential(
            nn.Conv2d(after, after, (3, 1), (stride, 1), (1, 0), groups=after, bias=False),
            SubSpectralNorm(after, groups),
        )
        self.over_time = nn.Sequential(
            nn.Conv2d(
                after, after, (1, 3), 1, (0, dilation), (1, dilation), groups=after, bias=False
            ),
            nn.BatchNorm2d(after),
            nn.SiLU(),
            nn.Conv2d(after, after, 1, bias=False),
            nn.Dropout2d(dropout),
        )

    def forward(self, planes: Tensor) -> Tensor:
        fine = self.over_frequency(self.widen(planes))
        out: Tensor = fine + self.over_time(fine.mean(dim=2, keepdim=True))
        return (out + planes if self.same else out).relu()


@dataclass(frozen=True)
class BCResNet(LogMelNetwork):
    """BC-ResNet-``tau`` (Kim et al., 2106.04140): four stages of broadcasted residual blocks.

    ``width`` is the base width c (the paper's c is 8 tau; its first stage has 16 tau channels).
    """

    name: ClassVar[str] = "bc-resnet"
    least: ClassVar[Mapping[str, int]] = {"bands": 40}
    width: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        # halved three times, then normalised in five ranges
        require(self.bands % 40 == 0, f"bc-resnet.bands must be a multiple of 40, got {self.bands}")

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        c = self.width
        # (blocks, channels, frequency stride, time dilation) of the paper's table 1
        stages = [(2, c, 1, 1), (2, c * 3 // 2, 2, 2), (4, 2 * c, 2, 4), (4, 5 * c // 2, 1, 8)]
        layers: list[nn.Module] = [conv2d(1, 2 * c, 5, stride=(2, 1))]
        before = 2 * c
        for blocks, after, stride, dilation in stages:
            for number in range(blocks):
                first = stride if number == 0 else 1
                layers.append(Broadcasted(before, after, first, dilation, 5, self.dropout))
                before = after
        layers += [conv2d(before, before, 5, groups=before), conv2d(before, 4 * c, 1)]
        return Pooled(self.bands, nn.Sequential(*layers), 4 * c, classes, self.dropout)
