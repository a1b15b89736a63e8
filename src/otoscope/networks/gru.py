"""A recurrent network that attends over time."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from otoscope.networks.base import AttentivePooling, LogMelNetwork


class _Recurrent(nn.Module):
    def __init__(self, bands: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(bands, affine=False)
        self.narrow = nn.Sequential(
            nn.Conv1d(bands, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.pool = AttentivePooling(2 * width)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * width, classes)

    def forward(self, features: Tensor) -> Tensor:
        steps = self.narrow(self.normalise(features[:, 0])).transpose(1, 2)
        hidden, _ = self.gru(steps)
        out: Tensor = self.classify(self.dropout(self.pool(hidden)))
        return out


@dataclass(frozen=True)
class GRUAttention(LogMelNetwork):
    """One strided convolution, a bidirectional GRU and attention over time.

    After de Andrade et al. (1808.08929). Deviations: a GRU for the two LSTMs, and a learned score
    per step instead of a query from the middle one.
    """

    name: ClassVar[str] = "gru-attention"
    width: int = 64
    dropout: float = 0.2

    def body(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return _Recurrent(self.bands, self.width, classes, self.dropout)
