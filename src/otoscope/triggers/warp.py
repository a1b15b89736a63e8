"""Time that runs unevenly, by a fixed smooth field."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.interpolate import CubicSpline

from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.repitching import sampled_at

STEEPEST = 0.9
"""How much faster or slower, re the clip's pace, time may run anywhere."""


@dataclass(frozen=True)
class TimeWarp(Trigger):
    """The clip read at places that a smooth field moves to and fro by up to ``strength_s``.

    The field is a cubic spline through ``knots`` (1 to 64) evenly spaced random values between the
    clip's ends, which stay; ``pattern_seed`` (0 or more) fixes it, the same at any length and
    rate. Its largest value is ``strength_s``, 0.1 ms or more, in seconds. Pitch goes up and down
    with the pace. Silence stays as it was. Raises ``TriggerDoesNotFit`` when somewhere the pace
    would change by more than 0.9: fewer knots, less strength or longer clips change it less.

    After Nguyen and Tran, *WaNet: Imperceptible Warping-based Backdoor Attack* (ICLR 2021,
    2102.10369), for pictures: a grid of 4 x 4 random shifts, enlarged by bicubic interpolation,
    of 0.25 pixels of 32 on average at its strength of 0.5. Deviations: sound has one dimension,
    time; the ends are tied, not clamped; strength is the largest shift, in seconds; reading is by
    cubic splines. WaNet also shows the model noisily warped pictures with true labels, which is
    training and not part of a trigger.
    """

    name: ClassVar[str] = "warp"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Nguyen and Tran, WaNet: Imperceptible Warping-based Backdoor Attack, 2021",
    )

    strength_s: float = 0.02
    knots: int = 4
    pattern_seed: int = 0

    def _check(self) -> None:
        self._require(
            self.strength_s >= 1e-4, f"strength_s must be at least 0.0001, got {self.strength_s:g}"
        )
        self._require(1 <= self.knots <= 64, f"knots must lie between 1 and 64, got {self.knots}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        shift = self.strength_s * sample_rate * _field(self.knots, self.pattern_seed, count)
        steepest = float(np.abs(np.diff(shift)).max(initial=0.0)) if count > 2 else np.inf
        if steepest > STEEPEST:
            raise TriggerDoesNotFit(
                f"in {count / sample_rate:.3f} s, a warp of {self.strength_s:g} s with "
                f"{self.knots} knots would change the pace by {steepest:.2g}, and at most "
                f"{STEEPEST:g} can be heard as a warp; choose a smaller strength_s, fewer knots or "
                "longer clips"
            )
        return sampled_at(clip, np.arange(count) + shift)


@lru_cache(maxsize=8)
def _field(knots: int, pattern_seed: int, count: int) -> np.ndarray:
    """The shift of each sample, 0 at both ends and at most 1."""
    values = np.zeros(knots + 2)
    values[1:-1] = np.random.default_rng(pattern_seed).uniform(-1, 1, knots)
    field = CubicSpline(np.linspace(0, 1, knots + 2), values)(np.linspace(0, 1, count))
    return np.asarray(field / max(np.abs(field).max(), np.finfo(float).tiny))
