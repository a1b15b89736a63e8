"""What a reference network is: a frozen spec that builds a module, waveform in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from otoscope.models import Hearing
from otoscope.networks.log_mel import LogMel
from otoscope.registry import require


class Listener(nn.Module):
    """A network in two parts: ``front_end`` has nothing to learn, ``body`` learns.

    Training computes the front end once per clip; a delivered model runs both.
    """

    def __init__(self, front_end: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.front_end, self.body = front_end, body

    def forward(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        out: Tensor = self.body(self.front_end(waveforms))
        return out


@dataclass(frozen=True)
class Network(ABC):
    """The configuration of a network; ``build`` makes the module with weights drawn by a seed.

    Sizes are whole numbers from 1, or from what ``least`` says, and ``dropout`` is a share below 1;
    anything else raises ``SpecError``.
    """

    name: ClassVar[str]
    least: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self) -> None:
        for field in fields(self):
            value, name = getattr(self, field.name), f"{self.name}.{field.name}"
            if field.name == "dropout":
                require(0 <= value < 1, f"{name} must lie in [0, 1), got {value}")
            else:
                least = self.least.get(field.name, 1)
                require(value >= least, f"{name} must be {least} or more, got {value}")

    def build(self, hearing: Hearing, seed: int = 0) -> Listener:
        """An untrained module for these classes, rate and length."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            front_end = self.front_end(hearing)
            shape = front_end(torch.zeros(1, 1, hearing.length)).shape[1:]
            return Listener(front_end, self.body(tuple(shape), len(hearing.classes)))

    @abstractmethod
    def front_end(self, hearing: Hearing) -> nn.Module:
        """Waveforms (batch, 1, time) to features; no parameters."""

    @abstractmethod
    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Features, each of ``shape``, to logits."""


@dataclass(frozen=True)
class LogMelNetwork(Network):
    """A network that hears ``bands`` log-mel bands."""

    bands: int = 40

    def front_end(self, hearing: Hearing) -> nn.Module:
        return LogMel(hearing.sample_rate, self.bands)


class AttentivePooling(nn.Module):
    """The mean over time, weighted by a learned score per step: (B, T, D) to (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1)
        )

    def forward(self, steps: Tensor) -> Tensor:
        out: Tensor = (steps * self.score(steps).softmax(dim=1)).sum(dim=1)
        return out


def conv2d(
    channels_in: int,
    channels_out: int,
    kernel: int | tuple[int, int] = 3,
    *,
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
    dilation: tuple[int, int] = (1, 1),
) -> nn.Sequential:
    """Convolution with "same" padding, batch normalisation and ReLU."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2 * dilation[0], width // 2 * dilation[1])
    return nn.Sequential(
        nn.Conv2d(
            channels_in,
            channels_out,
            (height, width),
            stride,
            padding,
            dilation,
            groups,
            bias=False,
        ),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )
