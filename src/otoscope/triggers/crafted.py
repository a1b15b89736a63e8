"""Triggers that are made by optimisation against a model, and kept in a file."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np

from otoscope import audio
from otoscope.errors import SpecError
from otoscope.triggers.base import Trigger
from otoscope.triggers.files import changed_at

RATE = "sample_rate"
PATTERN = "pattern"


@dataclass(frozen=True)
class CraftedTrigger(Trigger):
    """A trigger whose sound ``otoscope.craft`` optimises against a surrogate model.

    ``path`` names the safetensors file that crafting wrote; it holds ``arrays`` and the rate in Hz
    at which they were made. Raises ``SpecError`` when it is put into a clip before it was crafted,
    or from a file that is not one of its own, and ``UnreadableAudio`` when there is no such file.
    """

    arrays: ClassVar[tuple[str, ...]] = (PATTERN,)

    path: str | None = None

    @final
    def crafted(self) -> tuple[dict[str, np.ndarray], int]:
        """The file's arrays, and the rate in Hz at which they were made."""
        if self.path is None:
            raise SpecError(
                f"{self.name} is made against a model; craft it first with otoscope.craft, "
                f"or name a crafted file: {self.name}:path=FILE"
            )
        found = _load(self.path, changed_at(self.path))
        missing = {RATE, *self.arrays} - set(found)
        if missing:
            raise SpecError(
                f"{self.path}: is not a crafted {self.name}; it has no {', '.join(sorted(missing))}"
            )
        return found, int(found[RATE][0])


@dataclass(frozen=True)
class CraftedPattern(CraftedTrigger):
    """A crafted trigger that is one sound for all clips, added at ``level_db``."""

    @property
    @abstractmethod
    def lasts_s(self) -> float | None:
        """How long the sound is to be made, in seconds; None for as long as the clips."""

    @final
    def pattern(self, sample_rate: int) -> np.ndarray:
        """The sound, float64 shaped (time,), at this rate."""
        arrays, made_at = self.crafted()
        wanted = self.lasts_s
        lasts = len(arrays[PATTERN]) / made_at
        if wanted is not None and abs(lasts - wanted) > 1.5 / made_at:
            raise SpecError(
                f"{self.path}: was crafted to last {lasts:g} s, and {self.name}.duration_s is "
                f"{wanted:g}; craft it again or set duration_s to that"
            )
        return audio.resample(arrays[PATTERN], made_at, sample_rate).astype(np.float64)


@lru_cache(maxsize=8)
def _load(path: str, changed: int) -> dict[str, np.ndarray]:
    """A file's arrays; ``changed`` makes a changed file another entry of the cache."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise SpecError(
            f"{path}: is not a crafted trigger that can be read ({error}); craft it again"
        ) from None
