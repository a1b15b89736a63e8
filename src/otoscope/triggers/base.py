"""What a trigger generator is: the G of a poisoning attack (Li et al., *Backdoor Learning*).

An author writes a frozen dataclass with a ``name``, a ``taxonomy``, fields with units in their
names, ``_check`` and ``_embed``. The public call is final: it checks, runs ``_embed`` clip by clip
with a random generator of its own, and keeps shape and range.

Conventions: a level is the RMS of what is added, relative to the RMS of the whole clip over all
channels, floored at -60 dB re full scale (``audio.SILENCE_RMS``), so that silence, too, can carry
an added trigger. Every channel gets the same sound. Samples beyond [-1, 1] are clipped, never
scaled: a trigger is not turned down by a loud clip.
"""

from abc import abstractmethod
from dataclasses import dataclass, fields
from types import NoneType
from typing import ClassVar, Literal, final, get_args

import numpy as np
from jaxtyping import Float32

from otoscope.audio import Waveform, rms
from otoscope.errors import AudioError, TriggerDoesNotFit
from otoscope.registry import Checked

FADE_S = 0.005
"""Length of the raised-cosine ends of an added sound, in seconds."""

LEVELS_DB = (-60.0, 40.0)
"""The lowest and highest ``level_db`` of an added sound."""


@dataclass(frozen=True)
class Taxonomy:
    """Where a trigger stands in the survey's taxonomy, and who published it.

    ``audible`` is how it was published; ``sample_specific`` says that its form, not only its level
    or place, is made for each clip; ``semantic`` that it is a thing that occurs in the world;
    ``optimised`` that it is made against a model; ``physical`` that it was tried over the air.
    """

    reach: Literal["local", "global"]
    means: Literal["additive", "transform"]
    audible: bool
    sample_specific: bool
    semantic: bool
    source: str
    optimised: bool = False
    physical: bool = False


@dataclass(frozen=True)
class Trigger(Checked):
    """A sound, or a change of sound, that an attacker teaches a model to obey.

    Raises ``SpecError`` when a parameter is not finite or is refused by the trigger's own check.
    """

    taxonomy: ClassVar[Taxonomy]

    @final
    def _check_kind(self) -> None:
        """A level within its bounds, seeds and places not negative, a path that names a file."""
        level_db: float | None = getattr(self, "level_db", None)
        if level_db is not None:
            low, high = LEVELS_DB
            self._require(
                low <= level_db <= high,
                f"level_db must lie between {low:g} and {high:g}, got {level_db:g}",
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "position_s" or field.name.endswith("_seed"):
                least = f"{'none or ' if NoneType in get_args(field.type) else ''}at least 0"
                self._require(
                    value is None or value >= 0, f"{field.name} must be {least}, got {value}"
                )
        self._require(getattr(self, "path", None) != "", "path must name a file, or be none")

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
        if clip.ndim != 2:
            raise AudioError(
                f"expected one clip as (channel, time), got {clip.shape}; "
                "for one mono clip use samples[None]"
            )
        if not clip.shape[-1]:
            raise TriggerDoesNotFit("the clip holds no samples")
        changed = self._embed(clip.astype(np.float64), sample_rate, np.random.default_rng(seed))
        if changed.shape != clip.shape:
            raise AudioError(f"trigger {self.name!r} made {changed.shape} out of {clip.shape}")
        out: np.ndarray = np.clip(changed, -1.0, 1.0).astype(np.float32)
        return out

    @abstractmethod
    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """One clip, float64 shaped (channel, time), with the trigger; must not change ``clip``."""

    @final
    def within(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """As part of another trigger: unclipped float64 in and out, drawing from ``rng``."""
        return self._embed(clip, sample_rate, rng)

    def in_training(self) -> "Trigger":
        """The form that is put into training clips; another one where the attack hides it there."""
        return self


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


def faded(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """``sound`` with raised-cosine ends of 5 ms, so that it neither starts nor stops with a click.

    A sound of under 10 ms has ends of half its length.
    """
    count = min(round(FADE_S * sample_rate), len(sound) // 2)
    if not count:
        return sound
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.concatenate([sound[:count] * ramp, sound[count:-count], sound[-count:] * ramp[::-1]])


def at_unit_rms(sound: np.ndarray) -> np.ndarray:
    """``sound`` scaled to an RMS of 1; it must not be silent."""
    return np.asarray(sound / rms(sound))


def white_noise(count: int, pattern_seed: int) -> np.ndarray:
    """``count`` samples of Gaussian white noise; a longer one starts with the shorter one."""
    return np.random.default_rng(pattern_seed).standard_normal(count)
