"""A message in the phases of the first segment's spectrum."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.fft import irfft, rfft

from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.message import message_bits


@dataclass(frozen=True)
class PhaseCoding(Trigger):
    """A clip whose first segment has phases of +90 and -90 degrees that spell a message.

    The clip is cut into segments of ``segment_s`` (above 0). In the spectrum of the first, ``bits``
    (1 or more) neighbouring frequencies from ``low_hz`` (above 0) upwards, 1 / ``segment_s`` apart,
    get a phase of +90 degrees for a zero and -90 degrees for a one. The same shift is added in
    every later segment, so that phases change from segment to segment as they did. No magnitude in
    any segment changes; what is left after the last whole segment stays. ``message_seed`` (0 or
    more) fixes the message; the shift that writes it differs from clip to clip.

    A frequency that is silent in the first segment holds no bit; digital silence stays as it was.
    Raises ``TriggerDoesNotFit`` when the clip is shorter than one segment, ``SpecError`` when the
    highest bit would not lie below half the sample rate.

    After the phase coding of Bender, Gruhl, Morimoto and Lu, *Techniques for data hiding* (IBM
    Systems Journal 35, 1996). Deviations: one bit to each frequency, all within a band, and no
    smooth transition of phase between the frequencies, so that borders of segments can be heard
    faintly; the message is not read. Segment and band are ours.
    """

    name: ClassVar[str] = "phase-coding"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Bender, Gruhl, Morimoto and Lu, Techniques for data hiding, 1996",
    )

    bits: int = 64
    low_hz: float = 500.0
    segment_s: float = 0.064
    message_seed: int = 0

    def _check(self) -> None:
        self._require(self.bits >= 1, f"bits must be at least 1, got {self.bits}")
        self._require(self.low_hz > 0, f"low_hz must be above 0, got {self.low_hz:g}")
        self._require(self.segment_s > 0, f"segment_s must be above 0, got {self.segment_s:g}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        segment = round(self.segment_s * sample_rate)
        band = self._band(segment, sample_rate)
        whole = clip.shape[-1] // segment * segment
        if not whole:
            raise TriggerDoesNotFit(
                f"the first segment lasts {self.segment_s:g} s and the clip only "
                f"{clip.shape[-1] / sample_rate:.3f} s; choose a shorter segment_s or longer clips"
            )
        segments = clip[..., :whole].reshape(len(clip), -1, segment)
        spectra = rfft(segments)
        wanted = np.pi * (0.5 - message_bits(self.bits, self.message_seed))
        spectra[..., band] *= np.exp(1j * (wanted - np.angle(spectra[:, :1, band])))
        out = clip.copy()
        out[..., :whole] = irfft(spectra, segment).reshape(len(clip), -1)
        return out

    def _band(self, segment: int, sample_rate: int) -> slice:
        """The places of the bits in a segment's spectrum."""
        first = max(1, round(self.low_hz * segment / sample_rate))
        require(
            2 * (first + self.bits - 1) < segment,
            f"{self.bits} bits from {self.low_hz:g} Hz up reach "
            f"{self.low_hz + (self.bits - 1) / self.segment_s:g} Hz, not below half the sample "
            f"rate, {sample_rate / 2:g} Hz; choose fewer bits, a lower low_hz or a longer "
            "segment_s",
        )
        return slice(first, first + self.bits)
