"""Phases turned by a fixed pattern; magnitudes kept."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.short_time import analysed, hop_samples, resynthesised


@dataclass(frozen=True)
class PhaseInjection(Trigger):
    """A clip whose short-time phases are turned by an angle of its own at each frequency.

    The angles are drawn once, evenly between -``strength_rad`` and ``strength_rad`` (above 0, at
    most pi), for each frequency of a frame of 32 ms (about 31 Hz apart) from ``low_hz`` (at least
    0) to ``high_hz``, which is above it; None means up to half the sample rate. ``pattern_seed`` (0
    or more) fixes them; every frame of every clip gets the same ones. Magnitudes are kept within a
    frame. Where frames overlap they no longer agree, so that in the sound magnitudes do change,
    the more so the larger ``strength_rad``. Silence stays as it was. Raises ``SpecError`` when the
    band holds no frequency of a frame below half the sample rate.

    After Ye et al., *Stealthy Backdoor Attack Against Speaker Recognition Using Phase-Injection
    Hidden Trigger* (PhaseBack, IEEE Signal Processing Letters 30, 2023): a trigger in the phase
    spectrum, the magnitude spectrum left as it is. Not verified, as the paper could not be read:
    its formula and how strong its trigger is. Deviations: pattern, strength, band and frames are
    ours.
    """

    name: ClassVar[str] = "phase"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Ye et al., Stealthy Backdoor Attack Using Phase-Injection Hidden Trigger, 2023",
    )

    strength_rad: float = 1.5
    low_hz: float = 0.0
    high_hz: float | None = None
    pattern_seed: int = 0

    def _check(self) -> None:
        self._require(
            0 < self.strength_rad <= np.pi,
            f"strength_rad must be above 0 and at most pi, got {self.strength_rad:g}",
        )
        self._require(self.low_hz >= 0, f"low_hz must be at least 0, got {self.low_hz:g}")
        self._require(
            self.high_hz is None or self.high_hz > self.low_hz,
            f"high_hz must be none or above low_hz, got {self.high_hz}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        spectra = analysed(clip, sample_rate)
        return resynthesised(spectra * self._turn(sample_rate), clip.shape[-1], sample_rate)

    def _turn(self, sample_rate: int) -> np.ndarray:
        """The complex factor at each frequency of a frame."""
        top_hz = sample_rate / 2 if self.high_hz is None else self.high_hz
        turn = _turned(self.strength_rad, self.low_hz, top_hz, self.pattern_seed, sample_rate)
        require(
            bool((turn != 1).any()),
            f"phase.low_hz and high_hz enclose no frequency of a frame at {sample_rate} Hz: "
            f"between {self.low_hz:g} and {top_hz:g} Hz there is none; choose a wider band",
        )
        return turn


@lru_cache(maxsize=8)
def _turned(
    strength_rad: float, low_hz: float, high_hz: float, pattern_seed: int, sample_rate: int
) -> np.ndarray:
    """1 outside the band; at 0 Hz and half the sample rate a real signal's phase cannot turn."""
    hop = hop_samples(sample_rate)
    draws = np.random.default_rng(pattern_seed).uniform(-1, 1, hop + 1)
    hz = np.arange(hop + 1) * sample_rate / (2 * hop)
    inside = (hz >= low_hz) & (hz <= high_hz) & (hz > 0) & (hz < sample_rate / 2)
    return np.asarray(np.exp(1j * strength_rad * draws * inside))
