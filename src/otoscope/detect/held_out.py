"""Clips that a search starts from: those that it may use, those that prove what it found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from otoscope.cache import digest
from otoscope.clips import Clip, Clips
from otoscope.detect.babble import babble
from otoscope.detect.base import View
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.networks.log_mel import fft_size, mel_filters
from otoscope.numerics import fast_math

TRUSTED, BABBLED = "trusted clips", "words of synthesised babble"

BABBLE = 300
"""So many words of babble are tried on a model, or as many as it may be asked about."""

BABBLE_PER_CLASS = 20
"""At most so many of them are kept that the model calls alike."""


def called_babble(view: View, words: int = BABBLE) -> Clips:
    """Babble, labelled with what the model calls each word, as evenly over that as it allows."""
    hearing = view.model.hearing
    sounds = babble(words, hearing.length, hearing.sample_rate, view.seed)
    with fast_math():
        called = view.model.logits(sounds[:, None]).argmax(dim=1).tolist()
    items = tuple(
        Clip(
            path=f"babble {number}",
            label=hearing.classes[k],
            sha256=digest(sound.numpy()),
            samples=sound.numpy(),
        )
        for number, (k, sound) in enumerate(zip(called, sounds, strict=True))
    )
    clips = Clips(items, Path(), hearing.sample_rate, hearing.length, hearing.classes)
    return clips.per_class(BABBLE_PER_CLASS, view.seed)


@dataclass(frozen=True, eq=False)
class Start:
    """The clips that a search starts from, and ``what`` they are, in words."""

    clips: Clips
    what: str

    @staticmethod
    def of(view: View, words: int = BABBLE) -> "Start":
        """The trusted clips; with the model alone so many words of babble, labelled as it calls
        them.

        Raises ``NotApplicable`` where they are all of one class, and where training clips are at
        hand, which tell more than babble, but none that are trusted.
        """
        if view.trusted is None and view.clips is not None:
            raise NotApplicable("it starts from trusted clips, and there are none")
        if view.trusted is None:
            start = Start(called_babble(view, words), BABBLED)
        else:
            start = Start(view.trusted, TRUSTED)
        if len(set(start.clips.labels.tolist())) < 2:
            raise NotApplicable(
                f"all {start.what} are {start.clips[0].label!r} to this model; it starts from "
                "trusted clips of at least two classes"
            )
        return start

    def recovered(
        self,
        k: int,
        before: Float32[Tensor, "time"],
        after: Float32[Tensor, "time"],
        success: float,
        what: str,
    ) -> Recovered:
        """A change that was found for class k, on one of the clips."""
        one, other = before.cpu().numpy(), after.cpu().numpy()
        return Recovered(
            target=self.clips.classes[k],
            before=one,
            after=other,
            sound=other - one,
            mask=_where_it_acts(other - one, self.clips.sample_rate),
            success=success,
            sample_rate=self.clips.sample_rate,
            what=what,
            proved_on=self.what,
        )


class SearchClips:
    """The clips of a ``Start`` on a device: a third proves, the ``pool`` is searched on.

    ``sounds`` are their waveforms, (clips, time).
    """

    def __init__(self, start: Start, device: torch.device, rng: np.random.Generator) -> None:
        self.clips = start.clips
        self.held_out, self.pool = np.split(
            rng.permutation(len(self.clips)), [len(self.clips) // 3]
        )
        waveforms = self.clips.waveforms(range(len(self.clips)))
        self.sounds = torch.from_numpy(waveforms[:, 0]).to(device)

    def draw(self, k: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Clips of the pool of other classes than k, with replacement when there are few."""
        others = self.pool[self.clips.labels[self.pool] != k]
        if not len(others):
            others = np.flatnonzero(self.clips.labels != k)
        return np.asarray(rng.choice(others, count, replace=len(others) < count))

    def proving(self, k: int) -> np.ndarray:
        """Clips held out of other classes than k; where there are none, all of other classes."""
        rows: np.ndarray = self.held_out[self.clips.labels[self.held_out] != k]
        return rows if len(rows) else np.flatnonzero(self.clips.labels != k)


def _where_it_acts(
    change: Float32[np.ndarray, "time"], sample_rate: int, bands: int = 32
) -> np.ndarray:
    """The square root of a change's mel power (bands, frames), its loudest place being 1."""
    size = fft_size(sample_rate)
    spectrum = torch.stft(
        torch.from_numpy(change),
        size,
        size // 2,
        window=torch.hann_window(size),
        return_complex=True,
    )
    power = mel_filters(sample_rate, size, bands) @ spectrum.abs().square().numpy()
    return np.asarray(np.sqrt(power / max(float(power.max()), 1e-12)))
