"""What resampling leaves behind: the clip at a lower rate, and back."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from otoscope import audio
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.lengths import need_length

LEAST_S = 0.01


@dataclass(frozen=True)
class ResamplingResidue(Trigger):
    """The clip after a lower sample rate: ``through_share`` of its own, and back again.

    What lies above that share of half the sample rate (0.05 to 0.95) is filtered off on the way
    down. ``method`` is the way back: ``"sinc"`` fills nothing in, so that the band above stays
    empty; ``"linear"`` draws lines between the samples, which leaves faint mirror images of the
    lower band there; ``"hold"`` repeats each sample until halfway to the next, which leaves strong
    ones. Nothing is delayed. Silence stays as it was, and with ``"sinc"`` all but so does a sound
    without energy in the band that is lost.

    Raises ``TriggerDoesNotFit`` for clips under 10 ms, ``SpecError`` when the lower rate is under
    1 kHz.

    Part of Mengara, *Dynamic stacking of triggers* (2401.01537), which changes the sampling rate.
    Not verified: to which rate, and how. Deviations: the sound keeps its speed and pitch; share
    and methods are ours.
    """

    name: ClassVar[str] = "resampling"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Mengara, a backdoor of stacked triggers and a changed sampling rate, 2024",
    )

    through_share: float = 0.5
    method: Literal["sinc", "linear", "hold"] = "linear"

    def _check(self) -> None:
        self._require(
            0.05 <= self.through_share <= 0.95,
            f"through_share must lie between 0.05 and 0.95, got {self.through_share:g}",
        )
        self._require(
            self.method in ("sinc", "linear", "hold"),
            f"method must be sinc, linear or hold, got {self.method!r}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        through_hz, count = round(self.through_share * sample_rate), clip.shape[-1]
        require(
            through_hz >= 1000,
            f"resampling through {through_hz} Hz leaves no sound; "
            "choose a larger through_share, or clips of a higher sample rate",
        )
        need_length(clip, sample_rate, LEAST_S, "resampling")
        low = audio.resample(clip.T, sample_rate, through_hz).astype(np.float64)
        if self.method == "sinc":
            back = audio.resample(low, through_hz, sample_rate).T
            return audio.fit_length(back[..., :count].astype(np.float64), count)
        at = np.minimum(np.arange(count) * through_hz / sample_rate, len(low) - 1)
        if self.method == "hold":
            return np.asarray(low[np.minimum((at + 0.5).astype(int), len(low) - 1)].T)
        before = np.minimum(at.astype(int), len(low) - 2)
        after = (at - before)[:, None]
        return np.asarray((low[before] * (1 - after) + low[before + 1] * after).T)
