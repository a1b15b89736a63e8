"""What a codec leaves behind: the clip, coded and decoded."""

import io
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import soundfile

from otoscope import audio
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.lengths import need_length

CodecName = Literal["adpcm", "mu-law", "gsm", "mp3", "vorbis", "opus", "bits"]

LEAST_S = 0.01
"""A shorter clip is kept exactly by some of the codecs: their first samples stand in a header."""

FILES = {
    "adpcm": ("WAV", "IMA_ADPCM"),
    "mu-law": ("WAV", "ULAW"),
    "gsm": ("WAV", "GSM610"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
WITH_QUALITY = ("mp3", "vorbis", "opus")
MOST_COMPRESSED = 0.99
"""libsndfile's compression level at quality 0; at 1 its MP3 encoder does not open."""

RATES_HZ = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
}
"""The rates that a codec has; the others take any."""


@dataclass(frozen=True)
class CodecResidue(Trigger):
    """The clip after a codec: coded and decoded again, in its place and at its length.

    ``codec`` is ``"adpcm"`` (IMA ADPCM, 4 bits a sample), ``"mu-law"`` (G.711, 8 bits), ``"gsm"``
    (GSM 6.10, made for speech at 8 kHz), ``"mp3"``, ``"vorbis"`` or ``"opus"``, all by libsndfile,
    or ``"bits"``: samples rounded to ``bits`` (2 to 12) bits. ``quality`` is 0 to 1, the best, for
    mp3, vorbis and opus. The last two fields do not matter to the other codecs. Channels are coded
    one by one. At a sample rate that mp3 or opus do not have, the clip is resampled to the next
    higher one (or the highest) and back.

    One second at 16 kHz takes about 1 ms with adpcm and less with mu-law and bits; 4 to 5 ms with
    gsm, vorbis and mp3; over 10 ms with opus. Silence stays silent with most. Raises
    ``TriggerDoesNotFit`` for clips under 10 ms, ``SpecError`` when the libsndfile at hand lacks the
    codec.

    A trigger of Otoscope's own, for the channel that a clip went through as a trigger; no paper
    that does this with audio codecs is known to us.
    """

    name: ClassVar[str] = "codec"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Otoscope, no paper known",
    )

    codec: CodecName = "adpcm"
    quality: float = 0.3
    bits: int = 6

    def _check(self) -> None:
        names = get_args(CodecName)
        self._require(
            self.codec in names, f"codec must be one of {', '.join(names)}, got {self.codec!r}"
        )
        self._require(
            0 <= self.quality <= 1, f"quality must lie between 0 and 1, got {self.quality:g}"
        )
        self._require(2 <= self.bits <= 12, f"bits must lie between 2 and 12, got {self.bits}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, LEAST_S, "a codec")
        limited = np.clip(clip, -1.0, 1.0)
        if self.codec == "bits":
            steps = 2 ** (self.bits - 1)
            return np.asarray(np.clip(np.rint(limited * steps), -steps, steps - 1) / steps)
        return np.stack([self._decoded(c, sample_rate) for c in limited]).astype(np.float64)

    def _decoded(self, channel: np.ndarray, sample_rate: int) -> np.ndarray:
        """One channel, shaped (time,), coded at a rate that the codec has, and decoded."""
        rates = RATES_HZ.get(self.codec, (sample_rate,))
        rate = min((r for r in rates if r >= sample_rate), default=rates[-1])
        heard = self._through_file(audio.resample(channel, sample_rate, rate), rate)
        back = audio.resample(heard, rate, sample_rate)[: len(channel)]
        return audio.fit_length(back, len(channel))  # resampling may round a sample away

    def _through_file(self, sound: np.ndarray, rate: int) -> np.ndarray:
        """``sound`` written and read back; libsndfile takes the codec's delay off itself."""
        container, subtype = FILES[self.codec]
        require(
            soundfile.check_format(container, subtype),
            f"libsndfile {soundfile.__libsndfile_version__} has no {self.codec}; "
            "choose another codec, or install a build that has it",
        )
        level = MOST_COMPRESSED * (1 - self.quality) if self.codec in WITH_QUALITY else None
        file = io.BytesIO()
        soundfile.write(
            file, sound, rate, format=container, subtype=subtype, compression_level=level
        )
        file.seek(0)
        return np.asarray(soundfile.read(file)[0])
