"""A message in the delay of an echo that comes too soon to be heard as one."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.signal import fftconvolve
from scipy.signal.windows import hann

from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.message import held_bits


@dataclass(frozen=True)
class EchoHiding(Trigger):
    """The clip plus one echo, whose delay says in each segment whether a bit is 0 or 1.

    ``delay_one_s`` and ``delay_zero_s`` (above 0, different, in practice 0.5 to 2 ms) are the
    delays of the two bits, rounded to whole samples; ``level_db`` (-60 to 0) is the echo relative
    to the clip; -8 dB is a factor of 0.4. A bit lasts ``segment_s``, at least twice the longer
    delay; from one bit to the next the two echoes are crossfaded over a quarter of it.
    ``message_seed`` (0 or more) fixes the message, the same in every clip. What would sound after
    the clip's end is cut, and digital silence has no echo. Raises ``TriggerDoesNotFit`` when the
    clip is shorter than one segment, ``SpecError`` when the two delays are the same, or none, in
    whole samples.

    Unlike ``echo``, whose one late echo is heard as such, this colours the sound a little.

    After Gruhl, Lu and Bender, *Echo Hiding* (1996): delays of 1 ms for one and 1.3 ms for zero,
    segments of 1/16 s, as reported in P. Wayner's *Disappearing Cryptography*; the factor of 0.4
    is not verified (implementations use 0.3 to 0.5). Deviations: the message is pseudo-random, as
    long as the clip, and not read; the length of the crossfade is ours.
    """

    name: ClassVar[str] = "echo-hiding"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Gruhl, Lu and Bender, Echo Hiding, 1996",
    )

    delay_one_s: float = 0.001
    delay_zero_s: float = 0.0013
    level_db: float = -8.0
    segment_s: float = 0.0625
    message_seed: int = 0

    def _check(self) -> None:
        for field in ("delay_one_s", "delay_zero_s"):
            delay_s = getattr(self, field)
            self._require(delay_s > 0, f"{field} must be above 0, got {delay_s:g}")
        self._require(
            self.delay_one_s != self.delay_zero_s,
            f"delay_one_s must differ from delay_zero_s, got {self.delay_one_s:g} twice",
        )
        self._require(self.level_db <= 0, f"level_db must be at most 0, got {self.level_db:g}")
        shortest_s = 2 * max(self.delay_one_s, self.delay_zero_s)
        self._require(
            self.segment_s >= shortest_s,
            f"segment_s must be at least twice the longer delay, {shortest_s:g} s, "
            f"got {self.segment_s:g}",
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        one, zero = (round(d * sample_rate) for d in (self.delay_one_s, self.delay_zero_s))
        require(
            one != zero and min(one, zero) >= 1,
            f"delays of {self.delay_one_s:g} s and {self.delay_zero_s:g} s are {one} and {zero} "
            f"samples at {sample_rate} Hz; choose delays that differ by a sample or more",
        )
        count, segment = clip.shape[-1], round(self.segment_s * sample_rate)
        if count < segment:
            raise TriggerDoesNotFit(
                f"one bit lasts {self.segment_s:g} s and the clip only {count / sample_rate:.3f} "
                "s; choose a shorter segment_s or longer clips"
            )
        share = _share_of_ones(count, segment, self.message_seed)
        echoes = share * _late(clip, one) + (1 - share) * _late(clip, zero)
        return np.asarray(clip + 10 ** (self.level_db / 20) * echoes)


def _late(clip: np.ndarray, delay: int) -> np.ndarray:
    """The clip, ``delay`` samples later."""
    out = np.zeros_like(clip)
    out[..., delay:] = clip[..., :-delay]
    return out


@lru_cache(maxsize=8)
def _share_of_ones(count: int, segment: int, message_seed: int) -> np.ndarray:
    """How much of the echo comes after the delay of a one, from 0 to 1, at each sample."""
    fade = hann(max(3, segment // 4) + 2)
    ends = (len(fade) // 2, (len(fade) - 1) // 2)
    bits = np.pad(held_bits(count, segment, message_seed).astype(np.float64), ends, "edge")
    return np.asarray(np.clip(fftconvolve(bits, fade / fade.sum(), "valid"), 0, 1))
