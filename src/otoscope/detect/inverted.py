"""The families of changes that ``sound-inversion`` searches: parameters in, changed clips out.

Parameters are shaped (arms, values), clips (arms, clips, time). ``size`` is what is kept small, and
``largest`` the size from which on a change is no trigger any more.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from otoscope.detect.probes import at_level_of, read_at
from otoscope.networks.log_mel import mel_filters

SHIFT_S = 0.1
BANDS = 24
MOST_GAIN_DB = 30.0
TAIL_S = 0.25
MOST_DELAY_S = 0.05
SPEEDS = 8

Clips3 = Float32[Tensor, "arms clips time"]
Values = Float32[Tensor, "arms values"]


class Family(ABC):
    """One space of changes for clips of ``length`` samples."""

    what: ClassVar[str]
    largest: ClassVar[float] = 1.0

    def __init__(self, length: int, sample_rate: int, rng: np.random.Generator) -> None:
        self.length, self.sample_rate, self.rng = length, sample_rate, rng

    @abstractmethod
    def start(self, classes: int) -> Values:
        """Parameters to begin with, the same law for every class."""

    @abstractmethod
    def apply(self, clips: Clips3, values: Values, rng: np.random.Generator | None) -> Clips3:
        """Each arm's clips with its change; ``rng`` draws what shall not matter, None keeps it."""

    @abstractmethod
    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        """How large each arm's change is: 0 is none, about 1 is very loud."""

    def drawn(self, classes: int, count: int, spread: float) -> Values:
        """``count`` normal draws for each class."""
        draws = self.rng.standard_normal((classes, count)).astype(np.float32)
        return spread * torch.from_numpy(draws)


def _root_mean_square(values: Values) -> Float32[Tensor, "arms"]:
    return (values.square().mean(dim=1) + 1e-12).sqrt()


@final
class AddedSound(Family):
    """A waveform added at a level relative to each clip's.

    Its energy is what is kept small, so it gathers where it works best; in the search it is moved
    by at most 0.1 s at random, so that its place does not matter. The size is its RMS over the
    clip, relative to the clip's own RMS.
    """

    what = "an added sound"

    def start(self, classes: int) -> Values:
        return self.drawn(classes, self.length, 0.3)

    def apply(self, clips: Clips3, values: Values, rng: np.random.Generator | None) -> Clips3:
        most = round(SHIFT_S * self.sample_rate)
        moved = torch.roll(values, int(rng.integers(-most, most + 1)), dims=1) if rng else values
        rms = clips.square().mean(dim=2, keepdim=True).sqrt()
        changed: Tensor = (clips + rms * moved[:, None]).clamp(-1, 1)
        return changed

    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        return _root_mean_square(values)


class _System(Family):
    """A change that multiplies the spectrum; every clip keeps its level."""

    @abstractmethod
    def response(self, values: Values) -> Tensor:
        """The frequency response (arms, frequency) at twice the length."""

    @final
    def apply(self, clips: Clips3, values: Values, rng: np.random.Generator | None) -> Clips3:
        spectra = torch.fft.rfft(clips, 2 * self.length) * self.response(values)[:, None]
        return at_level_of(torch.fft.irfft(spectra, 2 * self.length)[..., : self.length], clips)


def _over_frequency(length: int, sample_rate: int) -> Tensor:
    """The share of each of the ``BANDS`` in every frequency of a response, (band, frequency)."""
    weights = mel_filters(sample_rate, 2 * length, BANDS)
    # a bin that no band reaches, at either end, takes the mean of all bands
    shares = np.maximum(weights, 1e-12) / np.maximum(weights, 1e-12).sum(axis=0)
    return torch.from_numpy(shares.astype(np.float32))


@final
class StationaryFilter(_System):
    """Gains in 24 mel bands, within 30 dB. The size is their standard deviation over 30 dB."""

    what = "a filter"

    def __init__(self, length: int, sample_rate: int, rng: np.random.Generator) -> None:
        super().__init__(length, sample_rate, rng)
        self.spread = _over_frequency(length, sample_rate)

    def start(self, classes: int) -> Values:
        return self.drawn(classes, BANDS, 0.1)

    def response(self, values: Values) -> Tensor:
        gain_db: Tensor = MOST_GAIN_DB * torch.tanh(values) @ self.spread.to(values)
        gain: Tensor = torch.pow(10.0, gain_db / 20)
        return gain

    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        gains = torch.tanh(values)
        return _root_mean_square(gains - gains.mean(dim=1, keepdim=True))


@final
class ShortConvolution(_System):
    """A direct sound and a tail of at most 0.25 s. The size is the tail's norm."""

    what = "an echo or a room"
    largest = 3.0

    def start(self, classes: int) -> Values:
        count = max(1, min(self.length - 1, round(TAIL_S * self.sample_rate)))
        return self.drawn(classes, count, 0.3)

    def response(self, values: Values) -> Tensor:
        tail = torch.nn.functional.pad(values / values.shape[1] ** 0.5, (1, 0))
        response: Tensor = 1 + torch.fft.rfft(tail, 2 * self.length)
        return response

    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        return _root_mean_square(values)


@final
class Delays(_System):
    """Phases alone: group delays in 24 mel bands, within 50 ms. The size is their RMS over that."""

    what = "a change of phase"

    def __init__(self, length: int, sample_rate: int, rng: np.random.Generator) -> None:
        super().__init__(length, sample_rate, rng)
        # the phase is the integral of the delay over angular frequency
        spread = _over_frequency(length, sample_rate)
        turned = spread.cumsum(dim=1) - spread[:, :1]  # none at 0 Hz
        self.phases = -np.pi * sample_rate / length * MOST_DELAY_S * turned

    def start(self, classes: int) -> Values:
        return self.drawn(classes, BANDS, 0.1)

    def response(self, values: Values) -> Tensor:
        phases = torch.tanh(values) @ self.phases.to(values)
        return torch.polar(torch.ones_like(phases), phases)

    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        return _root_mean_square(torch.tanh(values))


@final
class TimeWarp(Family):
    """Another speed and with it another pitch, at eight points over the clip, within an octave.

    The middle of a clip stays in place; what comes from outside it is silence. The size is the RMS
    of the speeds in octaves.
    """

    what = "a change of speed and pitch"

    def start(self, classes: int) -> Values:
        return self.drawn(classes, SPEEDS, 0.1)

    def apply(self, clips: Clips3, values: Values, rng: np.random.Generator | None) -> Clips3:
        octaves = torch.nn.functional.interpolate(
            torch.tanh(values)[:, None], size=self.length, mode="linear", align_corners=True
        )[:, 0]
        places = torch.exp2(octaves).cumsum(dim=1)
        middle = self.length // 2
        places = places - places[:, middle : middle + 1] + middle
        return at_level_of(read_at(clips, places[:, None]), clips)

    def size(self, values: Values) -> Float32[Tensor, "arms"]:
        return _root_mean_square(torch.tanh(values))


FAMILIES: tuple[type[Family], ...] = (
    AddedSound,
    StationaryFilter,
    ShortConvolution,
    Delays,
    TimeWarp,
)
