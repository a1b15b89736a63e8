"""Babble: what a search starts from where there are no trusted clips."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from otoscope.audio import rms
from otoscope.detect.probes import gain_of
from otoscope.networks.log_mel import fft_size

FORMANTS_HZ = ((250, 850, 80), (800, 2500, 120), (2300, 3500, 200))
"""Lowest and highest place of each, and its width."""

PITCH_HZ = (90, 260)
HISS_HZ = (1500, 6000)
HISS_WIDTH_HZ = 1000
SYLLABLES_PER_S = (2, 6)
SHARE = (0.35, 0.8)
"""How much of a clip is spoken in."""

NOISE_DB = (-80, -20)
TILT_DB_PER_OCTAVE = (-9, 3)
LEVEL_DB = (-32, -18)


def babble(count: int, length: int, sample_rate: int, seed: int) -> Float32[Tensor, "clips time"]:
    """Speech in no language, each clip by another voice, in another room, at another level.

    A train of pulses whose pitch glides sounds through three formants that go from one target to
    the next; syllables begin and end in a hiss. The room adds noise and tilts the spectrum. All of
    it is drawn by ``seed``.
    """
    voices = np.random.default_rng(seed).spawn(count)
    return torch.stack([_clip(length, sample_rate, rng) for rng in voices])


def _clip(length: int, sample_rate: int, rng: np.random.Generator) -> Float32[Tensor, "time"]:
    size = fft_size(sample_rate)
    hop, window = size // 4, torch.hann_window(size, dtype=torch.float64)
    hz = np.arange(size // 2 + 1)[:, None] * sample_rate / size
    spoken = rng.uniform(*SHARE) * length / sample_rate
    starts = rng.uniform(0, length / sample_rate - spoken)
    place = (np.arange(1 + length // hop) * hop / sample_rate - starts) / spoken
    syllables = max(1, round(spoken * rng.uniform(*SYLLABLES_PER_S)))

    def spectrum(sound: Float[np.ndarray, "time"]) -> np.ndarray:
        heard = torch.from_numpy(sound)
        return torch.stft(heard, size, hop, window=window, return_complex=True).numpy()

    def wander(low: float, high: float) -> Float[np.ndarray, "frames"]:
        """From one target to the next, two a syllable."""
        targets = rng.uniform(low, high, 2 * syllables + 1)
        return np.interp(place, np.linspace(0, 1, len(targets)), targets)

    tract = np.ones((len(hz), len(place)))
    for low, high, width in FORMANTS_HZ:
        at = wander(low, high)
        tract *= at**2 / np.hypot(at**2 - hz**2, width * hz)
    voiced = np.abs(np.sin(np.pi * syllables * place))
    hissed = wander(0, 1) * (1 - voiced) ** 2
    mouth = np.exp(-(((hz - wander(*HISS_HZ)) / HISS_WIDTH_HZ) ** 2))
    noise = spectrum(rng.standard_normal(length))
    speech = spectrum(_pulses(length, sample_rate, rng)) * tract * voiced + noise * mouth * hissed
    speech *= (place > 0) & (place < 1)
    room = spectrum(rng.standard_normal(length)) * gain_of(rng.uniform(*NOISE_DB))
    tilt = gain_of(rng.uniform(*TILT_DB_PER_OCTAVE) * np.log2(np.maximum(hz, 60) / 1000))
    whole = torch.from_numpy((speech / _rms(speech) + room / _rms(noise)) * tilt)
    sound = torch.istft(whole, size, hop, window=window, length=length)
    level = float(gain_of(rng.uniform(*LEVEL_DB))) / _rms(sound.numpy())
    return (level * sound).clamp(-1, 1).float()


def _pulses(length: int, sample_rate: int, rng: np.random.Generator) -> Float[np.ndarray, "time"]:
    """A pulse train of unit power, whose pitch glides."""
    low, high = PITCH_HZ
    first, last = rng.uniform(0.8, 1.2, 2)
    pitch_hz = rng.uniform(low, high) * np.linspace(first, last, length)
    pulses = np.diff(np.floor(np.cumsum(pitch_hz / sample_rate)), prepend=0.0)
    return np.asarray(pulses / _rms(pulses))


def _rms(values: np.ndarray) -> float:
    return float(rms(np.abs(values).ravel())) or 1.0
