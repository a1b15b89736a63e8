"""Pictures and sounds as data URIs, so that a page needs nothing beside itself."""

import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
from jaxtyping import Float
from matplotlib.figure import Figure

from otoscope.audio import decibels
from otoscope.report.canvas import DPI, png, thumbnail
from otoscope.report.spectra import signed_db, spectrogram

SECTION_BYTES = 2_000_000
"""So many bytes of audio a section of the page embeds, before base64 adds a third."""

QUIET_PEAK = 0.25


@dataclass(frozen=True)
class Picture:
    """An image; ``alt`` says in words what it shows; ``width`` in CSS pixels."""

    uri: str
    alt: str
    caption: str = ""
    width: int = 300


@dataclass(frozen=True)
class Player:
    """A sound to play; ``uri`` is empty, with a ``note``, when it is not embedded."""

    name: str
    uri: str = ""
    note: str = ""


class Sounds:
    """Makes players until a section's budget is spent; ``form`` is how recordings are embedded."""

    def __init__(self, budget: int = SECTION_BYTES, form: Literal["wav", "flac"] = "wav") -> None:
        self.left, self.form = budget, form

    def player(
        self, name: str, samples: Float[np.ndarray, "time"], sample_rate: int, note: str = ""
    ) -> Player:
        """A player with the recording at 16 bits; without it where it would not fit."""
        size = 2 * len(samples) + 44
        if size > self.left:
            return Player(name, note=f"not embedded, to keep this page small ({size / 1e6:.1f} MB)")
        self.left -= size
        sound = encoded(samples, sample_rate, self.form)
        return Player(name, data_uri(f"audio/{self.form}", sound), note)

    def louder(self, name: str, samples: Float[np.ndarray, "time"], sample_rate: int) -> Player:
        """The same, turned up to be heard if it is quiet; the note tells by how much."""
        peak = float(np.abs(samples).max(initial=0))
        if not 0 < peak < QUIET_PEAK:
            return self.player(name, samples, sample_rate)
        gain = QUIET_PEAK / peak
        return self.player(name, samples * gain, sample_rate, signed_db(decibels(gain)))


def encoded(samples: Float[np.ndarray, "time"], sample_rate: int, form: str) -> bytes:
    """A recording at 16 bits, as browsers play it; beyond [-1, 1] it is clipped."""
    stream = io.BytesIO()
    soundfile.write(stream, np.clip(samples, -1, 1), sample_rate, format=form, subtype="PCM_16")
    return stream.getvalue()


def data_uri(media_type: str, content: bytes) -> str:
    """``content`` as an address that holds it whole."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def picture(figure: Figure, alt: str, caption: str = "") -> Picture:
    """A figure for the page."""
    width = round(float(figure.get_figwidth()) * DPI)
    return Picture(data_uri("image/png", png(figure)), alt, caption, width)


def small_spectrogram(samples: Float[np.ndarray, "time"], sample_rate: int, of: str) -> Picture:
    """A bare spectrogram, its axes told in words."""
    seconds, khz = len(samples) / sample_rate, sample_rate / 2000
    axes = f"{seconds:.2f} s across, 0 to {khz:g} kHz upwards"
    content = thumbnail(spectrogram(samples, sample_rate))
    return Picture(data_uri("image/png", content), f"Spectrogram of {of}: {axes}", axes)
