"""Sound as arrays: read, write, resample, fit to a length, measure level.

Conventions: samples are float32 in [-1, 1], shaped (batch, channel, time); a sample rate is in Hz,
a duration in seconds, a level in decibels. Files are read through libsndfile (WAV, FLAC, OGG, MP3)
and resampled by soxr.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from otoscope.cache import write_atomically
from otoscope.errors import AudioError, UnreadableAudio

SILENCE_RMS = 1e-3
"""Floor (-60 dB re full scale) under a clip's level, so that silence, too, can carry a trigger."""

WRITTEN_FORMATS = {".wav": "WAV", ".flac": "FLAC"}

# libsndfile shortens a cut WAV, AIFF or AU file to what is there and says so only in its log.
_CUT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_SIZE = 0x7FFF0000
"""Sizes from here on mean "not known": what programs write that stream into a pipe."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """A batch of recordings of one length.

    ``samples`` is float32 shaped (batch, channel, time) in [-1, 1]; ``sample_rate`` is in Hz.
    Raises ``AudioError`` for another shape or type, for NaN and for infinite samples.
    """

    samples: Float32[np.ndarray, "batch channel time"]
    sample_rate: int

    def __post_init__(self) -> None:
        shape = np.shape(self.samples)
        if len(shape) != 3:
            raise AudioError(
                f"expected (batch, channel, time), got {shape}; "
                "for one mono clip use samples[None, None]"
            )
        if self.samples.dtype != np.float32:
            raise AudioError(
                f"expected float32 samples in [-1, 1], got {self.samples.dtype}; "
                "convert with samples.astype('float32')"
            )
        if self.sample_rate <= 0:
            raise AudioError(f"expected a sample rate above 0 Hz, got {self.sample_rate}")
        if not np.isfinite(self.samples).all():
            raise AudioError("expected finite samples, got NaN or infinity")

    @property
    def duration_s(self) -> float:
        """Length of each recording in seconds."""
        return float(self.samples.shape[-1]) / self.sample_rate


def read(source: Path | bytes, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read one recording as mono float32 samples shaped (time,), with its rate in Hz.

    ``source`` is a path or a file's bytes. Channels are averaged. With ``sample_rate``, the result
    is resampled to it (soxr, high quality). Raises ``UnreadableAudio`` when the file is empty,
    truncated, not audio, holds no samples, or holds NaN or infinite samples.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    try:
        with soundfile.SoundFile(stream) as file:
            rate, wanted = int(file.samplerate), int(file.frames)
            cut = _CUT.search(file.extra_info)
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:  # its own text names an address in memory
        raise UnreadableAudio(f"not readable as audio ({error.error_string})") from None
    except OSError as error:
        raise UnreadableAudio(f"not readable as audio ({error})") from None
    if len(samples) == 0:
        raise UnreadableAudio("holds no samples")
    if len(samples) < wanted:
        raise UnreadableAudio(
            f"truncated: its header promises {wanted} samples, {len(samples)} came"
        )
    if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_SIZE:
        raise UnreadableAudio(f"truncated: its header promises {cut[1]} bytes, {cut[2]} came")
    if not np.isfinite(samples).all():
        raise UnreadableAudio("holds NaN or infinite samples")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if sample_rate is not None and sample_rate != rate:
        mono, rate = resample(mono, rate, sample_rate), sample_rate
        if len(mono) == 0:
            raise UnreadableAudio(f"too short to be resampled to {rate} Hz")
    return np.ascontiguousarray(mono, dtype=np.float32), rate


def write(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write mono samples shaped (time,) as 16-bit PCM, whole or not at all.

    The file's ending, ``.wav`` or ``.flac``, names the format; samples beyond [-1, 1] are clipped.
    Raises ``AudioError`` for another ending, another shape, and for NaN and infinite samples.
    """
    container = WRITTEN_FORMATS.get(path.suffix.lower())
    if container is None:
        raise AudioError(f"{path}: expected the ending {' or '.join(WRITTEN_FORMATS)}")
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise AudioError(
            f"{path}: expected finite mono samples shaped (time,), got {samples.shape}"
            + (" with NaN or infinity" if samples.ndim == 1 else "")
        )
    stream = io.BytesIO()
    clipped = np.clip(samples, -1.0, 1.0)
    soundfile.write(stream, clipped, sample_rate, subtype="PCM_16", format=container)
    write_atomically(path, stream.getvalue())


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resample along the first axis with soxr's high-quality filter; float32 out."""
    if from_hz == to_hz:
        return samples
    return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), dtype=np.float32)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Make samples shaped (..., time) exactly ``length`` long.

    A shorter recording gets zeros at its end; a longer one keeps its middle.
    """
    time = samples.shape[-1]
    if time == length:
        return samples
    if time > length:
        start = (time - length) // 2
        return samples[..., start : start + length]
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, length - time)])


def rms(samples: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis, computed in float64."""
    return np.asarray(np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=-1)))


def level_rms(samples: np.ndarray, level_db: float) -> float:
    """RMS amplitude that lies ``level_db`` above (below, if negative) the level of ``samples``.

    The level of ``samples`` is its RMS over everything, floored at ``SILENCE_RMS``.
    """
    return max(float(rms(samples.ravel())), SILENCE_RMS) * float(10 ** (level_db / 20))


def decibels(amplitude_ratio: float) -> float:
    """20 log10 of a ratio of amplitudes; minus infinity for zero."""
    return float("-inf") if amplitude_ratio <= 0 else float(20 * np.log10(amplitude_ratio))
