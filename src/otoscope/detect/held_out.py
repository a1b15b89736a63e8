"""Trusted clips for a search: those that it may use, those that prove what it found."""

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from otoscope.clips import Clips
from otoscope.evidence import Recovered
from otoscope.networks.log_mel import mel_filters


class TrustedClips:
    """Trusted clips on a device; a third is ``held_out`` of the search, the ``pool`` serves it.

    ``sounds`` are their waveforms, (clips, time).
    """

    def __init__(self, trusted: Clips, device: torch.device, rng: np.random.Generator) -> None:
        self.trusted = trusted
        self.held_out, self.pool = np.split(rng.permutation(len(trusted)), [len(trusted) // 3])
        self.sounds = torch.from_numpy(trusted.waveforms(range(len(trusted)))[:, 0]).to(device)

    def draw(self, k: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Clips of the pool of other classes than k, with replacement when there are few."""
        others = self.pool[self.trusted.labels[self.pool] != k]
        if not len(others):
            others = np.flatnonzero(self.trusted.labels != k)
        return np.asarray(rng.choice(others, count, replace=len(others) < count))

    def proving(self, k: int) -> np.ndarray:
        """Clips held out of other classes than k; where there are none, all of other classes."""
        rows: np.ndarray = self.held_out[self.trusted.labels[self.held_out] != k]
        return rows if len(rows) else np.flatnonzero(self.trusted.labels != k)


def recovered(
    before: Float32[Tensor, "time"],
    after: Float32[Tensor, "time"],
    target: str,
    success: float,
    sample_rate: int,
    what: str,
) -> Recovered:
    """A change that was found, on one clip."""
    one, other = before.cpu().numpy(), after.cpu().numpy()
    return Recovered(
        target=target,
        before=one,
        after=other,
        sound=other - one,
        mask=_where_it_acts(other - one, sample_rate),
        success=success,
        sample_rate=sample_rate,
        what=what,
    )


def _where_it_acts(
    change: Float32[np.ndarray, "time"], sample_rate: int, bands: int = 32
) -> np.ndarray:
    """The square root of a change's mel power (bands, frames), its loudest place being 1."""
    size = 1 << (round(0.032 * sample_rate) - 1).bit_length()
    spectrum = torch.stft(
        torch.from_numpy(change),
        size,
        size // 2,
        window=torch.hann_window(size),
        return_complex=True,
    )
    power = mel_filters(sample_rate, size, bands) @ spectrum.abs().square().numpy()
    return np.asarray(np.sqrt(power / max(float(power.max()), 1e-12)))
