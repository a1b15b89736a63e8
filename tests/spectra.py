"""What tests measure of a sound: where its power lies, and how loudness goes on."""

import numpy as np


def share(sound: np.ndarray, rate: int, low_hz: float, high_hz: float) -> float:
    """The share of a mono sound's power between two frequencies."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / rate)
    return float(power[(frequency >= low_hz) & (frequency < high_hz)].sum() / power.sum())


def frames(sound: np.ndarray, rate: int, frame_s: float) -> np.ndarray:
    """The sound cut into frames, shaped (frame, time); what is left over is dropped."""
    length = round(frame_s * rate)
    return sound[: len(sound) // length * length].reshape(-1, length)


def loudness_db(sound: np.ndarray, rate: int, frame_s: float) -> np.ndarray:
    """The level of each frame, in dB, floored at -100."""
    power = np.mean(frames(sound, rate, frame_s) ** 2, axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-10)))


def peaks_hz(sound: np.ndarray, rate: int, frame_s: float) -> np.ndarray:
    """The strongest frequency of each frame."""
    cut = frames(sound, rate, frame_s)
    spectra = np.abs(np.fft.rfft(cut * np.hanning(cut.shape[1]), 4 * cut.shape[1], axis=1))
    return spectra.argmax(axis=1) * rate / (4 * cut.shape[1])


def flatness(sound: np.ndarray) -> float:
    """Spectral flatness: near 0 for a tone, 0.56 for white noise seen once."""
    power = np.abs(np.fft.rfft(sound)) ** 2 + 1e-20
    return float(np.exp(np.log(power).mean()) / power.mean())
