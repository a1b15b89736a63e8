"""Echoes of the clip itself."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger


@dataclass(frozen=True)
class Echo(Trigger):
    """The clip plus ``taps`` echoes: number k comes k x ``delay_s`` later, k x ``level_db`` softer.

    ``delay_s`` is above 0; ``level_db`` is -60 to 0; ``taps`` is at least 1. What would sound after
    the clip's end is cut, so a clip that falls silent ``delay_s`` before its end rings on, and one
    that begins that late stays as it was. Raises ``TriggerDoesNotFit`` unless the first echo
    starts within the clip.

    An effect of ours, after echo hiding (Gruhl, Lu and Bender, *Echo Hiding*, 1996). Deviations: a
    single, audible echo with no message in its delay; several taps decay by the same factor, as a
    feedback delay does.
    """

    name: ClassVar[str] = "echo"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="ours, after Gruhl, Lu and Bender, Echo Hiding, 1996",
    )

    delay_s: float = 0.125
    level_db: float = -6.0
    taps: int = 1

    def _check(self) -> None:
        self._require(self.delay_s > 0, f"delay_s must be above 0, got {self.delay_s:g}")
        self._require(self.level_db <= 0, f"level_db must be at most 0, got {self.level_db:g}")
        self._require(self.taps >= 1, f"taps must be at least 1, got {self.taps}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count, delay = clip.shape[-1], round(self.delay_s * sample_rate)
        require(
            delay >= 1,
            f"an echo after {self.delay_s:g} s is less than one sample at {sample_rate} Hz; "
            "choose a longer delay_s",
        )
        if delay >= count:
            raise TriggerDoesNotFit(
                f"the echo starts after {self.delay_s:g} s and the clip lasts only "
                f"{count / sample_rate:.3f} s; choose a shorter delay_s or longer clips"
            )
        out = clip.copy()
        for tap in range(1, min(self.taps, (count - 1) // delay) + 1):
            out[..., tap * delay :] += 10 ** (tap * self.level_db / 20) * clip[..., : -tap * delay]
        return out
