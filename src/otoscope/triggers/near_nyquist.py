"""A sine just below half the sample rate: as long as the clip, or in pulses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.audio import level_rms
from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers.base import FADE_S, Taxonomy, Trigger, at_unit_rms, faded, place
from otoscope.triggers.lengths import need_length
from otoscope.triggers.tone import sine

SHORTEST_S = 0.02
"""Shortest pulse, in seconds."""


@dataclass(frozen=True)
class NearNyquistTone(Trigger):
    """A sine at ``nyquist_fraction`` of half the sample rate, over the whole clip or a part of it.

    ``nyquist_fraction`` is 0.5 to 0.99. ``duration_s`` (at least 20 ms a pulse) is how long it
    sounds in all, None for the whole clip. One pulse starts at ``position_s``, moved back where it
    would not fit, or at a drawn place for None; several ``pulses`` share the duration and lie
    evenly from there to the end of the clip. ``level_db`` is the sine's RMS, while it sounds,
    relative to the clip's. Raises ``TriggerDoesNotFit`` for clips under 10 ms and for pulses that
    do not fit. People do not hear it at a sample rate of 44.1 kHz (21.5 kHz); at 16 kHz (7.8 kHz)
    many do.

    After Koffas et al., *Can You Hear It?* (2107.14569): 21 kHz at 44.1 kHz, 0.952 of Nyquist; at
    the start, in the middle or at the end; whole or in short pulses. Deviations: the frequency
    follows the sample rate; the level follows each clip's; the ends are faded over 5 ms.
    """

    name: ClassVar[str] = "near-nyquist"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="additive",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Koffas et al., Can You Hear It? Backdoor Attacks via Ultrasonic Triggers, 2022",
    )

    nyquist_fraction: float = 0.975
    level_db: float = -30.0
    duration_s: float | None = None
    position_s: float | None = 0.0
    pulses: int = 1

    def _check(self) -> None:
        self._require(
            0.5 <= self.nyquist_fraction <= 0.99,
            f"nyquist_fraction must lie between 0.5 and 0.99, got {self.nyquist_fraction:g}",
        )
        self._require(self.pulses >= 1, f"pulses must be at least 1, got {self.pulses}")
        if self.duration_s is None:
            self._require(self.pulses == 1, "several pulses need a duration_s, got none")
        else:
            self._require(
                self.duration_s >= SHORTEST_S * self.pulses,
                f"duration_s must be at least {SHORTEST_S:g} for each pulse, "
                f"got {self.duration_s:g} for {self.pulses}",
            )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        amplitude = level_rms(clip, self.level_db)
        if self.duration_s is None:
            need_length(clip, sample_rate, 2 * FADE_S, "a near-nyquist tone")
            return clip + amplitude * self._sine(clip.shape[-1], sample_rate)
        pulse = amplitude * self._sine(
            round(self.duration_s / self.pulses * sample_rate), sample_rate
        )
        if self.pulses == 1:
            return place(clip, pulse, sample_rate, self.position_s, rng)
        return np.asarray(clip + self._train(pulse, clip, sample_rate, rng))

    def _train(
        self, pulse: np.ndarray, clip: np.ndarray, sample_rate: int, rng: np.random.Generator
    ) -> np.ndarray:
        """The pulses in silence as long as the clip."""
        last = clip.shape[-1] - len(pulse)
        slack = last - (self.pulses - 1) * len(pulse)
        if slack < 0:
            raise TriggerDoesNotFit(
                f"{self.pulses} pulses last {self.duration_s:g} s and the clip only "
                f"{clip.shape[-1] / sample_rate:.3f} s; choose fewer or shorter pulses"
            )
        drawn = (
            rng.integers(slack + 1) if self.position_s is None else self.position_s * sample_rate
        )
        sound = np.zeros(clip.shape[-1])
        for start in np.linspace(min(round(drawn), slack), last, self.pulses).astype(int):
            sound[start : start + len(pulse)] = pulse
        return sound

    def _sine(self, count: int, sample_rate: int) -> np.ndarray:
        """At an RMS of 1, with faded ends."""
        tone = sine(self.nyquist_fraction * sample_rate / 2, count, sample_rate)
        return at_unit_rms(faded(tone, sample_rate))
