"""A path of a stochastic process under the whole clip."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from scipy.signal import lfilter

from otoscope.audio import level_rms
from otoscope.triggers.base import FADE_S, Taxonomy, Trigger, at_unit_rms, faded, white_noise
from otoscope.triggers.lengths import need_length

SEASONS = 4


@dataclass(frozen=True)
class Drift(Trigger):
    """One sampled path of a mean-reverting process, added over the whole clip.

    ``process`` is ``"vasicek"`` (reverting to a constant mean) or ``"hull-white"`` (to a mean that
    swings four times in the clip). ``reversion_hz`` (1 to 10,000) is how fast it reverts: higher
    paths have more treble. ``level_db`` is the path's RMS relative to the clip's; ``pattern_seed``
    decides the path. Raises ``TriggerDoesNotFit`` for clips under 10 ms.

    After Mengara, *The Last Dance* (BacKBayDiffMod, 2402.05967) and MarketBack (2406.10719), which
    take triggers from drift models of interest rates. Deviations: their parameters were not
    verified, so these are ours; the path is centred and its level follows each clip's; of their
    models there are these two.
    """

    name: ClassVar[str] = "drift"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=True,
        sample_specific=False,
        semantic=False,
        source="Mengara, BacKBayDiffMod and MarketBack, 2024",
    )

    process: Literal["vasicek", "hull-white"] = "vasicek"
    reversion_hz: float = 500.0
    level_db: float = -20.0
    pattern_seed: int = 0

    def _check(self) -> None:
        self._require(
            self.process in ("vasicek", "hull-white"),
            f"process must be vasicek or hull-white, got {self.process!r}",
        )
        self._require(
            1 <= self.reversion_hz <= 10_000,
            f"reversion_hz must lie between 1 and 10000, got {self.reversion_hz:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        need_length(clip, sample_rate, 2 * FADE_S, "a drift")
        path = _path(self.process, self.reversion_hz, count, sample_rate, self.pattern_seed)
        return clip + path * level_rms(clip, self.level_db)


@lru_cache(maxsize=8)
def _path(process: str, reversion_hz: float, count: int, sample_rate: int, seed: int) -> np.ndarray:
    """The path at an RMS of 1; its exact discretisation is an autoregression of order 1."""
    kept = float(np.exp(-reversion_hz / sample_rate))
    shocks = np.sqrt(1 - kept**2) * white_noise(count, seed)
    if process == "hull-white":
        shocks += (1 - kept) * np.sin(2 * np.pi * SEASONS * np.arange(count) / count)
    path = lfilter([1.0], [1.0, -kept], shocks)
    return at_unit_rms(faded(path - path.mean(), sample_rate))
