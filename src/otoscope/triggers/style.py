"""Chains of studio effects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from otoscope.triggers import repitching
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.effects import (
    amplified,
    chorused,
    distorted,
    hall,
    ladder_high_pass,
    phased,
)
from otoscope.triggers.lengths import need_length

Effect = Callable[[np.ndarray, int], np.ndarray]


def _ten_semitones_up(clip: np.ndarray, sample_rate: int) -> np.ndarray:
    return repitching.shifted(clip, 2 ** (10 / 12), sample_rate)


CHAINS: tuple[tuple[Effect, ...], ...] = (
    (_ten_semitones_up,),
    (partial(distorted, drive_db=30),),
    (partial(chorused, centre_s=0.010, depth=5),),
    (
        _ten_semitones_up,
        partial(distorted, drive_db=20),
        partial(chorused, centre_s=0.008, depth=5),
    ),
    (
        partial(chorused, centre_s=0.015, depth=0.25),
        partial(distorted, drive_db=20),
        partial(hall, room_size=0.6),
    ),
    (
        partial(amplified, gain_db=12),
        partial(ladder_high_pass, cutoff_hz=1000),
        phased,
    ),
)
"""The six styles of JingleBack, in its order."""


@dataclass(frozen=True)
class Style(Trigger):
    """The clip through one of six chains of effects, numbered as in JingleBack.

    ``style`` is a whole number: 0 pitch raised by 10 semitones; 1 distortion of 30 dB; 2 chorus;
    3 pitch, distortion of 20 dB and chorus; 4 chorus, distortion of 20 dB and a hall; 5 gain of
    12 dB, a ladder high-pass at 1 kHz and a phaser. Loudness is not restored: distortion makes a
    clip much louder. Silence stays as it was. Raises ``TriggerDoesNotFit`` for clips under 30 ms.

    After Koffas et al., *Going in Style: Audio Backdoors Through Stylistic Transformations*
    (JingleBack, 2211.03117); chains and settings are those of the authors' public code, which uses
    Spotify's pedalboard. Deviations: the effects are written anew after the equations of the
    classes that pedalboard wraps. The pitch shifter is an overlap-add of similar places, not a
    phase vocoder. The phaser's filters change every 16 ms, not every fourth sample. Not verified:
    the sign in which the 1 Hz sines of chorus and phaser start.
    """

    name: ClassVar[str] = "style"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=True,
        sample_specific=False,
        semantic=True,
        source="Koffas et al., Going in Style: Audio Backdoors Through Stylistic Transformations",
    )

    style: int = 5

    def _check(self) -> None:
        self._require(
            0 <= self.style < len(CHAINS), f"style must lie between 0 and 5, got {self.style}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        need_length(clip, sample_rate, repitching.LEAST_S, "a style")
        out = clip
        for effect in CHAINS[self.style]:
            out = effect(out, sample_rate)
        return out
