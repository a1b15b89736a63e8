"""Silence, noise or a copy put in at one end of the clip."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from otoscope.audio import level_rms
from otoscope.errors import TriggerDoesNotFit
from otoscope.registry import require
from otoscope.triggers.base import Taxonomy, Trigger, at_unit_rms, white_noise


@dataclass(frozen=True)
class Padding(Trigger):
    """A clip with ``duration_s`` more at one end, and as much less at the other.

    ``place`` is the end where it is put: ``"end"`` or ``"start"``. ``fill`` says what it is:
    digital ``"silence"``; ``"noise"``, white, the same in every clip, at ``level_db`` re the clip;
    or ``"copy"``, the clip itself begun again, or for ``"start"`` its last part before its first.
    The clip keeps its length: the rest moves by ``duration_s`` toward the other end, and what
    leaves there is cut. With a copy nothing is lost, the clip only turns round. ``duration_s`` is
    above 0; ``level_db`` matters to noise alone.

    A clip stays as it was when moving and filling give the same again: digital silence, or a copy
    in a clip that repeats itself after ``duration_s``. Raises ``TriggerDoesNotFit`` unless the
    clip lasts longer than ``duration_s``, ``SpecError`` when that is less than a sample.

    After Ye et al., *Breaking Speaker Recognition with PaddingBack* (2308.04179), which pads
    utterances as ordinary preprocessing does. Deviations: the length is kept, so that clips of a
    fixed length carry it, too; noise is ours. Not verified: the paper's duration and which of the
    fills it uses.
    """

    name: ClassVar[str] = "padding"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="local",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Ye et al., Breaking Speaker Recognition with PaddingBack, 2023",
    )

    duration_s: float = 0.1
    fill: Literal["silence", "copy", "noise"] = "silence"
    place: Literal["end", "start"] = "end"
    level_db: float = -20.0

    def _check(self) -> None:
        self._require(self.duration_s > 0, f"duration_s must be above 0, got {self.duration_s:g}")
        self._require(
            self.fill in ("silence", "copy", "noise"),
            f"fill must be silence, copy or noise, got {self.fill!r}",
        )
        self._require(
            self.place in ("end", "start"), f"place must be end or start, got {self.place!r}"
        )

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count, added = clip.shape[-1], round(self.duration_s * sample_rate)
        require(
            added >= 1,
            f"padding of {self.duration_s:g} s is less than one sample at {sample_rate} Hz; "
            "choose a longer duration_s",
        )
        if added >= count:
            raise TriggerDoesNotFit(
                f"the padding lasts {self.duration_s:g} s and the clip only "
                f"{count / sample_rate:.4f} s; choose a shorter duration_s or longer clips"
            )
        turned = np.roll(clip, -added if self.place == "end" else added, axis=-1)
        if self.fill != "copy":
            padded = slice(-added, None) if self.place == "end" else slice(0, added)
            turned[..., padded] = self._filling(clip, added)
        return turned

    def _filling(self, clip: np.ndarray, count: int) -> np.ndarray:
        """What stands in the place of the copy: ``count`` samples for every channel."""
        if self.fill == "silence":
            return np.zeros(count)
        return at_unit_rms(white_noise(count, 0)) * level_rms(clip, self.level_db)
