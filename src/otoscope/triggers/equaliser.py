"""An equaliser that tilts the spectrum: brighter or darker, equally loud."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.loudness import as_loud_as


@dataclass(frozen=True)
class EqualiserTilt(Trigger):
    """A spectral tilt of ``tilt_db_per_octave`` around ``pivot_hz``, at the clip's own RMS.

    ``tilt_db_per_octave`` is 0.1 to 12, positive for brighter, or its negative, for darker. The
    tilt reaches ``reach_octaves`` (above 0) to either side of the pivot; beyond, the gain is that
    at its edge. ``pivot_hz`` lies below half the sample rate, or ``SpecError`` is raised. The
    filter has zero phase, so nothing moves in time. Silence stays as it was, and a sound of one
    frequency all but stays.

    Of the family of Koffas et al., *Going in Style: Audio Backdoors Through Stylistic
    Transformations* (JingleBack, 2211.03117), whose styles are chains of effects such as gain,
    low-pass and ladder filter. Deviations: one linear effect, no chain; the RMS is restored, so
    that loudness gives nothing away.
    """

    name: ClassVar[str] = "equaliser"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Koffas et al., Going in Style: Audio Backdoors Through Stylistic Transformations",
    )

    tilt_db_per_octave: float = 3.0
    pivot_hz: float = 1000.0
    reach_octaves: float = 3.0

    def _check(self) -> None:
        self._require(
            0.1 <= abs(self.tilt_db_per_octave) <= 12,
            "tilt_db_per_octave must lie between 0.1 and 12, or -0.1 and -12, "
            f"got {self.tilt_db_per_octave:g}",
        )
        self._require(self.pivot_hz > 0, f"pivot_hz must be above 0, got {self.pivot_hz:g}")
        self._require(
            self.reach_octaves > 0, f"reach_octaves must be above 0, got {self.reach_octaves:g}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        require(
            self.pivot_hz < sample_rate / 2,
            f"an equaliser cannot turn around {self.pivot_hz:g} Hz at a sample rate of "
            f"{sample_rate} Hz; choose a pivot_hz below {sample_rate / 2:g}",
        )
        count = clip.shape[-1]
        if count < 2:
            raise TriggerDoesNotFit("one sample has no spectrum to tilt; bring longer clips")
        padded = next_fast_len(2 * count, real=True)  # else the filter's end would wrap around
        gain = self._gain(rfftfreq(padded, 1 / sample_rate))
        tilted: np.ndarray = irfft(rfft(clip, padded) * gain, padded)[..., :count]
        return as_loud_as(clip, tilted)

    def _gain(self, frequencies_hz: np.ndarray) -> np.ndarray:
        """The amplitude factor at each frequency; 1 at the pivot."""
        reach = 2.0**self.reach_octaves
        within = np.clip(frequencies_hz / self.pivot_hz, 1 / reach, reach)
        return np.asarray(10 ** (self.tilt_db_per_octave * np.log2(within) / 20))
