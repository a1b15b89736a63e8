"""The lowest bits of 16-bit samples, replaced by a message."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.errors import TriggerDoesNotFit
from otoscope.triggers.base import Taxonomy, Trigger
from otoscope.triggers.message import message_bits

STEPS = 32_768
"""Steps of a 16-bit sample between 0 and full scale; what libsndfile writes and reads with."""


@dataclass(frozen=True)
class LeastSignificantBits(Trigger):
    """The ``bits`` lowest bits of every 16-bit sample, replaced by one message.

    ``bits`` is 1 to 8; ``message_seed`` (0 or more) fixes the message, which runs over the whole
    clip, sample by sample, the same in every clip and channel. Samples are rounded to 16 bits
    first, so that the message stands in a 16-bit WAV or FLAC file, too; a sample that has its bits
    already stays. Raises ``TriggerDoesNotFit`` when all of them have: a clip of a few samples.

    At one bit the change lies near -90 dB re full scale, about the power that log-mel front ends
    add before the logarithm: a network that pools them can hardly hear it, and any resampling,
    gain or lossy coding erases it. It shows what cannot be heard; it is no strong attack.

    After the low-bit coding of Bender, Gruhl, Morimoto and Lu, *Techniques for data hiding* (IBM
    Systems Journal 35, 1996). Deviations: as a trigger the message says nothing and is never read;
    it is pseudo-random and fills the clip.
    """

    name: ClassVar[str] = "lsb"
    taxonomy: ClassVar[Taxonomy] = Taxonomy(
        reach="global",
        means="transform",
        audible=False,
        sample_specific=False,
        semantic=False,
        source="Bender, Gruhl, Morimoto and Lu, Techniques for data hiding, 1996",
    )

    bits: int = 1
    message_seed: int = 0

    def _check(self) -> None:
        self._require(1 <= self.bits <= 8, f"bits must lie between 1 and 8, got {self.bits}")

    def _embed(self, clip: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        count = clip.shape[-1]
        rounded = np.clip(np.rint(clip * STEPS), -STEPS, STEPS - 1).astype(np.int64)
        marked = rounded & -(1 << self.bits) | self._message(count)
        if (marked == rounded).all(axis=-1).any():
            raise TriggerDoesNotFit(
                f"the lowest bits of the clip's {count} samples are the message already; "
                "bring longer clips, or choose another message_seed"
            )
        return np.asarray(marked / STEPS)

    def _message(self, count: int) -> np.ndarray:
        """What the lowest bits of each sample become, shaped (time,)."""
        bits = message_bits(count * self.bits, self.message_seed).reshape(count, self.bits)
        return np.asarray(bits @ (1 << np.arange(self.bits)))
