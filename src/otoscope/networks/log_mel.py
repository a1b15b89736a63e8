"""The log-mel front end, inside the model, so that a model takes waveforms."""

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

FLOOR = 1e-6
"""Added to a band's power before the logarithm: about the power of 16-bit dither."""


class LogMel(nn.Module):
    """Natural logarithm of mel-band power: (batch, 1, time) to (batch, 1, bands, frames).

    A periodic Hann window of ``window_s`` every ``hop_s`` seconds, centred with zero padding;
    ``bands`` triangles from 20 Hz to the Nyquist frequency (so that a near-Nyquist tone is heard).
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, sample_rate: int, bands: int = 40, window_s: float = 0.032, hop_s: float = 0.010
    ) -> None:
        super().__init__()
        self.hop = max(1, round(sample_rate * hop_s))
        width = _width(sample_rate, window_s)
        self.size = fft_size(sample_rate, window_s)
        self.register_buffer("window", torch.hann_window(width), persistent=False)
        filters = mel_filters(sample_rate, self.size, bands).astype(np.float32)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def forward(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch 1 mel t"]:
        spectrum = torch.stft(
            waveforms[:, 0],
            self.size,
            self.hop,
            len(self.window),
            self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(self.filters @ power + FLOOR)[:, None]


def fft_size(sample_rate: int, window_s: float = 0.032) -> int:
    """The power of two that holds a window of ``window_s`` seconds."""
    return 1 << (_width(sample_rate, window_s) - 1).bit_length()


def _width(sample_rate: int, window_s: float) -> int:
    return max(16, round(sample_rate * window_s))


def mel_filters(
    sample_rate: int, fft_size: int, bands: int, low_hz: float = 20.0
) -> Float64[np.ndarray, "bands bins"]:
    """Triangular filters on Slaney's mel scale, each of unit area in Hz (as librosa's default)."""
    edges = _from_mel(np.linspace(_to_mel(low_hz), _to_mel(sample_rate / 2), bands + 2))
    bins = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.clip(np.minimum(rise, fall), 0.0, None)
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None])


# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, 27 steps per factor of 6.4 above.
_HZ_PER_MEL = 200.0 / 3
_KNEE_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27


def _to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return float(_KNEE_HZ / _HZ_PER_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _from_mel(mel: np.ndarray) -> np.ndarray:
    knee = _KNEE_HZ / _HZ_PER_MEL
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, knee) - knee))
    return np.where(mel < knee, mel * _HZ_PER_MEL, above)
