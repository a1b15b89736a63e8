"""Waveforms to spectra and back, and what is drawn on the mel plane to spectra."""

import numpy as np
import torch
from torch import Tensor

from otoscope.networks.log_mel import fft_size, mel_filters


class MelPlane:
    """Short-time spectra of clips of one ``length`` in samples, and ``bands`` mel bands over them.

    Windows of about 32 ms, half overlapping. ``spread`` @ plane, where a plane is shaped (...,
    band, frame), gives each frequency the mean of the bands that cover it.
    """

    def __init__(self, sample_rate: int, length: int, bands: int, device: torch.device) -> None:
        self.length = length
        self.size = fft_size(sample_rate)
        self.window = torch.hann_window(self.size, device=device)
        filters = mel_filters(sample_rate, self.size, bands)
        spread = filters.T / np.maximum(filters.T.sum(axis=1, keepdims=True), 1e-12)
        self.spread = torch.from_numpy(spread.astype(np.float32)).to(device)

    def spectra(self, waveforms: Tensor) -> Tensor:
        """(batch, time) to complex (batch, frequency, frame)."""
        return torch.stft(
            waveforms,
            self.size,
            self.size // 2,
            self.size,
            self.window,
            pad_mode="constant",
            return_complex=True,
        )

    def waveforms(self, spectra: Tensor) -> Tensor:
        """Complex (batch, frequency, frame) to (batch, time), within [-1, 1]."""
        sound = torch.istft(
            spectra, self.size, self.size // 2, self.size, self.window, length=self.length
        )
        return sound.clamp(-1.0, 1.0)
