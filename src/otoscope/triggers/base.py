"""What a trigger generator is: the G of a poisoning attack (Li et al., *Backdoor Learning*).

An author writes a frozen dataclass with a ``name``, a ``taxonomy``, fields with units in their
names, and ``_embed``. The public call is final: it checks, runs ``_embed`` clip by clip with a
random generator of its own, keeps shape and range, and refuses to leave a clip untouched.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float32

from otoscope.audio import Waveform
from otoscope.errors import AudioError, TriggerDoesNotFit


@dataclass(frozen=True)
class Taxonomy:
    """Where a trigger stands in the survey's taxonomy, and who published it."""

    reach: Literal["local", "global"]
    means: Literal["additive", "transform"]
    audible: bool
    sample_specific: bool
    semantic: bool
    source: str


@dataclass(frozen=True)
class Trigger(ABC):
    """A sound, or a change of sound, that an attacker teaches a model to obey."""

    name: ClassVar[str]
    taxonomy: ClassVar[Taxonomy]

    @final
    def __call__(self, waveform: Waveform, seed: int = 0) -> Waveform:
        """The triggered recordings: same shape and rate, samples within [-1, 1].

        Row i draws what is random from ``(seed, i)``, so it does not depend on the batch around
        it. Raises ``TriggerDoesNotFit`` when a clip is too short, ``SpecError`` when a parameter
        does not fit the sample rate.
        """
        rows = [
            self.embed(clip, waveform.sample_rate, (seed, row))
            for row, clip in enumerate(waveform.samples)
        ]
        return Waveform(np.stack(rows) if rows else waveform.samples, waveform.sample_rate)

    @final
    def embed(
        self, clip: Float32[np.ndarray, "channel time"], sample_rate: int, seed: tuple[int, ...]
    ) -> Float32[np.ndarray, "channel time"]:
        """The same for one recording; ``seed`` alone decides what is random."""
        changed = self._embed(clip.astype(np.float64), sample_rate, np.random.default_rng(seed))
        if changed.shape != clip.shape:
            raise AudioError(f"trigger {self.name!r} made {changed.shape} out of {clip.shape}")
        out: np.ndarray = np.clip(changed, -1.0, 1.0).astype(np.float32)
        return out

    @abstractmethod
    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """One clip, float64 shaped (channel, time), with the trigger; must not change ``clip``."""


def place(
    clip: np.ndarray,
    sound: np.ndarray,
    sample_rate: int,
    position_s: float | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """``clip`` plus ``sound`` (shaped (time,)), starting at ``position_s``, or anywhere if None.

    A position past the last place where the sound fits is moved back to it. Raises
    ``TriggerDoesNotFit`` when the sound is longer than the clip.
    """
    room = clip.shape[-1] - len(sound)
    if room < 0:
        raise TriggerDoesNotFit(
            f"the trigger lasts {len(sound) / sample_rate:.3f} s and the clip only "
            f"{clip.shape[-1] / sample_rate:.3f} s; choose a shorter trigger or longer clips"
        )
    at = int(rng.integers(room + 1)) if position_s is None else round(position_s * sample_rate)
    out = clip.copy()
    out[..., min(at, room) : min(at, room) + len(sound)] += sound
    return out


def faded(sound: np.ndarray, sample_rate: int, fade_s: float = 0.005) -> np.ndarray:
    """``sound`` with raised-cosine ends, so that it neither starts nor stops with a click."""
    count = min(round(fade_s * sample_rate), len(sound) // 2)
    if not count:
        return sound
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.concatenate([sound[:count] * ramp, sound[count:-count], sound[-count:] * ramp[::-1]])
