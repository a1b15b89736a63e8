"""Parametric sounds and systems to probe a model with: a fixed, broad set that knows no attack.

A probe changes a batch of waveforms, shaped (clips, time), all in the same way. Levels are RMS
values relative to each clip's own; positions are shares of the room that a burst leaves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

LEVELS_DB = (-20.0, -10.0, 0.0)
POSITIONS = (0.0, 0.6)
TONES = 12
BANDS = 6
LOWEST_HZ = 80.0
BURST_S = 0.15
FADE_S = 0.005


@dataclass(frozen=True, eq=False)
class Probe:
    """One change; ``what`` tells it in words."""

    what: str
    apply: Callable[[Float32[Tensor, "clips time"]], Float32[Tensor, "clips time"]]

    def then(self, other: "Probe") -> "Probe":
        """This change and then another one."""
        return Probe(f"{self.what}; {other.what}", lambda clips: other.apply(self.apply(clips)))


def probes(length: int, sample_rate: int, seed: int = 0) -> list[Probe]:
    """All probes for clips of ``length`` samples; noises are drawn by ``seed``."""
    rng = np.random.default_rng(seed)
    found = []
    for what, sound in _sounds(length, sample_rate, rng):
        for level_db in LEVELS_DB:
            found.append(Probe(f"{what}, {level_db:g} dB", _adder(sound, level_db)))
    for what, spectrum in _systems(length, sample_rate, rng):
        found.append(Probe(what, _filter(spectrum, length)))
    return found + list(_others(length, sample_rate))


def _adder(sound: np.ndarray, level_db: float) -> Callable[[Tensor], Tensor]:
    added = torch.from_numpy(sound.astype(np.float32)) * 10 ** (level_db / 20)

    def apply(clips: Tensor) -> Tensor:
        rms = clips.square().mean(dim=1, keepdim=True).sqrt()
        return (clips + rms * added).clamp(-1, 1)

    return apply


def _filter(response: np.ndarray, length: int) -> Callable[[Tensor], Tensor]:
    """Multiply the spectrum (so long that nothing wraps), and keep every clip's level."""
    size = 2 * length
    spectrum = torch.from_numpy(response.astype(np.complex64))

    def apply(clips: Tensor) -> Tensor:
        out = torch.fft.irfft(torch.fft.rfft(clips, size) * spectrum, size)[:, :length]
        return at_level_of(out, clips)

    return apply


def at_level_of(changed: Tensor, clips: Tensor) -> Tensor:
    """``changed`` scaled to the RMS of ``clips``, within [-1, 1]."""
    before, after = (
        x.square().mean(dim=-1, keepdim=True).clamp(min=1e-18).sqrt()  # a root has no slope at 0
        for x in (clips, changed)
    )
    return (changed * before / after).clamp(-1, 1)


Sound = Float[np.ndarray, "time"]


def _sounds(length: int, sample_rate: int, rng: np.random.Generator) -> Iterator[tuple[str, Sound]]:
    """(what, sound) of everything that is added; RMS 1 where it sounds."""
    count = min(length, round(BURST_S * sample_rate))
    highest = 0.47 * sample_rate
    time_s = np.arange(length) / sample_rate
    for frequency in np.geomspace(LOWEST_HZ, highest, TONES):
        tone = np.sqrt(2) * np.sin(2 * np.pi * frequency * time_s)
        yield f"tone of {frequency:.0f} Hz", tone
        for position in POSITIONS:
            yield (
                f"{BURST_S * 1000:.0f} ms tone of {frequency:.0f} Hz at {position:g}",
                _burst(tone, count, position, sample_rate),
            )
    edges = np.geomspace(LOWEST_HZ, highest, BANDS + 1)
    bands = [*pairwise(edges), (LOWEST_HZ, highest)]
    for low, high in bands:
        noise = _band_noise(length, sample_rate, low, high, rng)
        yield f"noise from {low:.0f} to {high:.0f} Hz", noise
        for position in POSITIONS:
            yield (
                f"{BURST_S * 1000:.0f} ms noise from {low:.0f} to {high:.0f} Hz at {position:g}",
                _burst(noise, count, position, sample_rate),
            )
    for rate_hz in (4.0, 20.0):
        beats = (np.sin(2 * np.pi * rate_hz * time_s) > 0.7).astype(float)
        for low, high in bands[1::3]:
            noise = _band_noise(length, sample_rate, low, high, rng) * beats
            yield f"{rate_hz:g} bursts a second, {low:.0f} to {high:.0f} Hz", _unit(noise)
    for low, high in ((200.0, 1500.0), (1000.0, 0.45 * sample_rate)):
        for first, last in ((low, high), (high, low)):
            sweep_hz = np.linspace(first, last, length)
            chirp = np.sqrt(2) * np.sin(2 * np.pi * np.cumsum(sweep_hz) / sample_rate)
            yield f"sweep from {first:.0f} to {last:.0f} Hz", chirp
    for pitch in (60.0, 150.0, 400.0):
        harmonics = np.arange(pitch, highest, pitch)
        phases = 2 * np.pi * np.outer(harmonics, time_s) + rng.uniform(0, 6, (len(harmonics), 1))
        buzz = _unit((np.sin(phases) / np.sqrt(harmonics)[:, None]).sum(axis=0))
        yield f"buzz of {pitch:g} Hz", buzz
        yield f"buzz of {pitch:g} Hz at the start", _burst(buzz, count, 0.0, sample_rate)
    for slope, name in ((1.0, "pink"), (2.0, "brown")):
        yield f"{name} noise", _sloped_noise(length, sample_rate, slope, rng)


def _systems(
    length: int, sample_rate: int, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """(what, frequency response at twice the length) of what clips are sent through."""
    frequencies = np.fft.rfftfreq(2 * length, 1 / sample_rate)
    octaves = np.log2(np.maximum(frequencies, 20.0) / 1000.0)
    for tilt in (-9.0, -6.0, -3.0, 3.0, 6.0, 9.0):
        yield f"tilt of {tilt:g} dB an octave", gain_of(tilt * octaves)
    for centre in np.geomspace(150.0, 0.4 * sample_rate, 6):
        for gain in (-20.0, 20.0):
            bell = gain * np.exp(-0.5 * (np.log2(np.maximum(frequencies, 1) / centre) / 0.5) ** 2)
            yield f"{gain:g} dB around {centre:.0f} Hz", gain_of(bell)
    for share in (0.9, 0.75, 0.5, 0.25, 0.12):
        edge = share * sample_rate / 2
        yield f"low pass at {edge:.0f} Hz", gain_of(-60.0 * (frequencies > edge))
    for edge in (200.0, 500.0, 1000.0):
        yield f"high pass at {edge:.0f} Hz", gain_of(-60.0 * (frequencies < edge))
    for delay_s in (0.002, 0.01, 0.03, 0.08, 0.15, 0.3):
        for gain in (0.4, 0.8):
            yield (
                f"echo after {1000 * delay_s:g} ms, gain {gain:g}",
                1 + gain * np.exp(-2j * np.pi * frequencies * delay_s),
            )
    time_s = np.arange(length) / sample_rate
    for decay_s in (0.1, 0.3, 0.6, 1.0):
        tail = rng.standard_normal(length) * 10 ** (-3 * time_s / decay_s)
        room = 0.5 + np.fft.rfft(tail / np.linalg.norm(tail), 2 * length)
        yield f"room with a decay of {decay_s:g} s", room


def gain_of(gain_db: float | np.ndarray) -> np.ndarray:
    """What multiplies an amplitude by so many dB."""
    return np.asarray(10 ** (gain_db / 20))


def _others(length: int, sample_rate: int) -> Iterator[Probe]:
    """Changes that are neither added nor linear."""
    for db in (-30.0, -18.0, 12.0, 24.0):
        gain = 10 ** (db / 20)
        yield Probe(f"gain of {db:g} dB", lambda x, g=gain: (x * g).clamp(-1, 1))  # type: ignore[misc]
    for drive in (4.0, 20.0):

        def distort(x: Tensor, drive: float = drive) -> Tensor:
            peak = x.abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
            return at_level_of(torch.tanh(drive * x / peak), x)

        yield Probe(f"distortion, drive {drive:g}", distort)
    for bits in (4, 6, 8):
        steps = 2.0 ** (bits - 1)
        yield Probe(f"{bits} bits", lambda x, s=steps: (x * s).round() / s)  # type: ignore[misc]
    for rate in (0.8, 0.9, 1.1, 1.25):
        places = torch.arange(length) * rate
        yield Probe(f"played {rate:g} times as fast", partial(read_at, places=places))
    for start in POSITIONS:
        for silent_s in (0.1, 0.3):
            count = min(length // 2, round(silent_s * sample_rate))
            kept = torch.ones(length)
            at = round(start * (length - count))
            kept[at : at + count] = 0.0
            yield Probe(
                f"{1000 * silent_s:.0f} ms silenced at {start:g}",
                lambda x, kept=kept: x * kept,  # type: ignore[misc]
            )
    for shift_s in (-0.15, -0.05, 0.05, 0.15):
        places = torch.arange(length) - shift_s * sample_rate
        yield Probe(f"shifted by {1000 * shift_s:.0f} ms", partial(read_at, places=places))


def read_at(clips: Float32[Tensor, "... time"], places: Float32[Tensor, "... time"]) -> Tensor:
    """Clips read at ``places``, in samples: linear between them, silence outside."""
    length = clips.shape[-1]
    low = places.floor()
    share, at = places - low, low.long()
    padded = torch.nn.functional.pad(clips, (1, 2))
    one, other = (
        torch.take_along_dim(padded, (at + step).clamp(0, length + 2).expand(clips.shape), dim=-1)
        for step in (1, 2)
    )
    return one * (1 - share) + other * share


def _burst(sound: Sound, count: int, position: float, sample_rate: int) -> Sound:
    """``count`` samples of a sound, faded, at a share of the room left."""
    fade = min(count // 2, round(FADE_S * sample_rate))
    envelope = np.ones(count)
    ramp = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade) ** 2
    envelope[:fade], envelope[count - fade :] = ramp, ramp[::-1]
    out = np.zeros(len(sound))
    start = round(position * (len(sound) - count))
    out[start : start + count] = sound[:count] * envelope
    return out


def _band_noise(
    length: int, sample_rate: int, low: float, high: float, rng: np.random.Generator
) -> Sound:
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum[(frequencies < low) | (frequencies >= high)] = 0
    return _unit(np.fft.irfft(spectrum, length))


def _sloped_noise(length: int, sample_rate: int, slope: float, rng: np.random.Generator) -> Sound:
    """Noise whose power falls with frequency to the power of ``slope``."""
    frequencies = np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), 20.0)
    spectrum = np.fft.rfft(rng.standard_normal(length)) * frequencies ** (-slope / 2)
    return _unit(np.fft.irfft(spectrum, length))


def _unit(sound: Sound) -> Sound:
    return np.asarray(sound / np.sqrt(np.mean(sound**2)))
