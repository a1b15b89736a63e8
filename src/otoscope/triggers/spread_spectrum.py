"""A message spread over a band by a pseudo-random sequence, under the clip's own spectrum."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.fft import rfftfreq

from otoscope.audio import level_rms
from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, white_noise
from otoscope.triggers.message import held_bits
from otoscope.triggers.short_time import (
    analysed,
    envelope,
    floor_power,
    hop_samples,
    resynthesised,
)


@dataclass(frozen=True)
class SpreadSpectrum(Trigger):
    """A sequence of +1 and -1 chips, keyed by a message, that follows the clip's own spectrum.

    ``chip_rate_hz`` chips a second (at most the sample rate) are drawn from ``pattern_seed``, the
    key; the sign of all the chips within ``bit_s`` is a bit of the message of ``message_seed``
    (seeds are 0 or more). They are limited to ``low_hz`` to ``high_hz`` (below half the sample
    rate) and shaped by the clip's spectrum in frames of 32 ms, smoothed over some 150 Hz, so that
    they lie as far under a loud sound as under a soft one. ``level_db`` is the RMS of what is added
    over the whole clip, relative to the clip's. Raises ``TriggerDoesNotFit`` when the clip is
    shorter than one bit, ``SpecError`` when band or chips do not fit the sample rate.

    After the spread spectrum watermark of Cox, Kilian, Leighton and Shamoon, *Secure spread
    spectrum watermarking for multimedia* (IEEE Trans. Image Processing 6, 1997: a noise-like
    sequence in proportion to the spectrum's coefficients) and the direct-sequence coding of
    Bender, Gruhl, Morimoto and Lu, *Techniques for data hiding* (1996). Deviations: chips in time,
    not Gaussian numbers on the largest coefficients; the clip's short-time spectrum is the only
    model of masking; level, band, chip rate and bit length are ours.
    """

    name: ClassVar[str] = "spread-spectrum"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Cox, Kilian, Leighton and Shamoon, Secure spread spectrum watermarking, 1997",
    )

    level_db: float = -20.0
    low_hz: float = 300.0
    high_hz: float = 3400.0
    chip_rate_hz: float = 8000.0
    bit_s: float = 0.1
    pattern_seed: int = 0
    message_seed: int = 0

    def _check(self) -> None:
        self._require(self.low_hz >= 0, f"low_hz must be at least 0, got {self.low_hz:g}")
        self._require(
            self.high_hz >= self.low_hz + 100,
            f"high_hz must be at least 100 Hz above low_hz, got {self.high_hz:g}",
        )
        self._require(
            self.chip_rate_hz > 0, f"chip_rate_hz must be above 0, got {self.chip_rate_hz:g}"
        )
        self._require(
            self.bit_s * self.chip_rate_hz >= 1,
            f"bit_s must hold one chip, {1 / self.chip_rate_hz:g} s, got {self.bit_s:g}",
        )
        for field in ("pattern_seed", "message_seed"):
            seed = getattr(self, field)
            self._require(seed >= 0, f"{field} must be at least 0, got {seed}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        require(
            self.high_hz < sample_rate / 2 and self.chip_rate_hz <= sample_rate,
            f"a band up to {self.high_hz:g} Hz and {self.chip_rate_hz:g} chips a second cannot "
            f"exist at a sample rate of {sample_rate} Hz; choose a high_hz below "
            f"{sample_rate / 2:g} and a chip_rate_hz of at most {sample_rate}",
        )
        count = clip.shape[-1]
        if count < round(self.bit_s * sample_rate):
            raise TriggerDoesNotFit(
                f"one bit lasts {self.bit_s:g} s and the clip only {count / sample_rate:.3f} s; "
                "choose a shorter bit_s or longer clips"
            )
        power = envelope(analysed(clip, sample_rate)).mean(axis=0)
        shape = np.sqrt(power + floor_power(clip, sample_rate))
        sound = resynthesised(_pattern(self, count, sample_rate) * shape, count, sample_rate)
        return clip + at_unit_rms(sound) * level_rms(clip, self.level_db)


def chips(count: int, sample_rate: int, chip_rate_hz: float, pattern_seed: int) -> np.ndarray:
    """``count`` samples of the key: each chip, +1 or -1, is held until the next one."""
    at = (np.arange(count) * chip_rate_hz / sample_rate).astype(np.int64)
    return np.asarray(np.sign(white_noise(at[-1] + 1, pattern_seed))[at])


@lru_cache(maxsize=8)
def _pattern(trigger: SpreadSpectrum, count: int, sample_rate: int) -> np.ndarray:
    """The short-time spectra of the chips, signed by the message, within the band."""
    bit = round(trigger.bit_s * sample_rate)
    signs = 1 - 2 * held_bits(count, bit, trigger.message_seed)
    key = chips(count, sample_rate, trigger.chip_rate_hz, trigger.pattern_seed)
    frequency_hz = rfftfreq(2 * hop_samples(sample_rate), 1 / sample_rate)
    inside = (frequency_hz >= trigger.low_hz) & (frequency_hz <= trigger.high_hz)
    return np.asarray(analysed(key * signs, sample_rate) * inside)
