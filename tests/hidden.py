"""What the receiver of a hidden message does: reads it back, from a stored clip."""

import io

import numpy as np
import soundfile
from scipy.fft import irfft, rfft

from otoscope.audio import Waveform
from otoscope.triggers import Trigger
from otoscope.triggers.message import message_bits
from otoscope.triggers.short_time import analysed, envelope, resynthesised
from otoscope.triggers.spread_spectrum import chips


def stored(samples: np.ndarray, rate: int, container: str = "WAV") -> np.ndarray:
    """The samples after a 16-bit file, float64 (time,)."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype="PCM_16", format=container)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float64")[0])


def received(trigger: Trigger, clean: Waveform) -> np.ndarray:
    """The first clip's first channel, triggered and stored, float64 (time,)."""
    return stored(trigger(clean).samples[0, 0], clean.sample_rate)


def error_rate(read: np.ndarray, message_seed: int) -> float:
    """The share of bits read wrongly; near one half for a message that is not there."""
    return float(np.mean(read != message_bits(len(read), message_seed)))


def read_echoes(sound: np.ndarray, segment: int, one: int, zero: int) -> np.ndarray:
    """A bit from each whole segment: at which of two delays does its cepstrum stand higher?"""
    segments = sound[: len(sound) // segment * segment].reshape(-1, segment)
    cepstra = irfft(np.log(np.abs(rfft(segments)) + 1e-9))
    return np.asarray(cepstra[:, one] > cepstra[:, zero], dtype=int)


def read_phases(sound: np.ndarray, segment: int, first: int, bits: int) -> np.ndarray:
    """The bits in the phases of the first segment."""
    phases = np.angle(rfft(sound[:segment])[first : first + bits])
    return np.asarray(phases < 0, dtype=int)


def read_chips(sound: np.ndarray, rate: int, pattern_seed: int = 0) -> np.ndarray:
    """Correlate with the key, bit by bit, after taking the sound's own spectrum out of it."""
    spectra = analysed(sound, rate)
    frequency_hz = np.linspace(0, rate / 2, spectra.shape[-1])
    inside = (frequency_hz >= 300) & (frequency_hz <= 3400)
    flat = resynthesised(spectra / np.sqrt(envelope(spectra)) * inside, len(sound), rate)
    product = flat * chips(len(sound), rate, 8000, pattern_seed)
    bit = round(0.1 * rate)
    return np.asarray(product.reshape(-1, bit).sum(axis=1) < 0, dtype=int)
