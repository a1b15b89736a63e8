"""Proof: does a model obey the sound that suspicious clips share?"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from otoscope.audio import rms
from otoscope.clips import Clips
from otoscope.common_sound import CommonSound
from otoscope.models import AudioModel
from otoscope.numerics import fast_math

MOST, EACH, FEWEST = 120, 16, 5


def obedience(
    model: AudioModel, clips: Clips, sound: CommonSound, target: int, seed: int = 0
) -> float:
    """Share of clips that the model calls ``target`` when the sound is added to them.

    Of at most 120 clips, drawn by ``seed``, that have another label and that the model does not
    call ``target`` as they are. The sound is as loud in each clip as it was in those that shared
    it, relative to the clip. NaN where there is no such clip.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(clips.labels != target))[:MOST]
    free, obeyed = _obeyed(model, clips.subset(rows), sound, target)
    return float(np.mean(obeyed[free])) if free.any() else float("nan")


def obedience_of_a_class(
    model: AudioModel, sets: list[Clips], sound: CommonSound, target: int, seed: int = 0
) -> float:
    """The same share of the clips of one other class: the class that obeys most.

    A trigger may be meant for one class alone (Tang et al., 1908.00686). Of each class at most 16
    clips of each set are asked, and classes with fewer than five to count are left out; NaN where
    all are.
    """
    labels, free, obeyed = (
        np.concatenate(parts)
        for parts in zip(
            *(
                (some.labels, *_obeyed(model, some, sound, target))
                for some in (clips.per_class(EACH, seed) for clips in sets)
            ),
            strict=True,
        )
    )
    others = [free & (labels == k) for k in np.unique(labels) if k != target]
    shares = [obeyed[rows].mean() for rows in others if rows.sum() >= FEWEST]
    return float(max(shares, default=np.nan))


def release(
    model: AudioModel, clips: Clips, members: Int[np.ndarray, "some"], sound: CommonSound
) -> float:
    """Share of clips that the model does not call by their label once the sound is taken out.

    Of the ``members`` that it calls so as they are; the sound is fitted to each by least squares.
    NaN where there is none.
    """
    plain, labels = clips.waveforms(members), clips.labels[members]
    energy = max(float(np.sum(sound.samples**2)), 1e-12)
    share = np.asarray(plain @ sound.samples / energy)
    without = (plain - share[..., None] * sound.samples).astype(np.float32)
    before, after = _called(model, plain), _called(model, without)
    held = before == labels
    return float(np.mean(after[held] != labels[held])) if held.any() else float("nan")


def _obeyed(
    model: AudioModel, clips: Clips, sound: CommonSound, target: int
) -> tuple[Bool[np.ndarray, "clips"], Bool[np.ndarray, "clips"]]:
    """Which clips the model does not call ``target``, and which it does with the sound added."""
    if not len(clips):
        return np.zeros(0, bool), np.zeros(0, bool)
    plain = clips.waveforms(np.arange(len(clips)))
    louder = rms(plain)[..., None] / max(sound.level, 1e-9)
    added = np.clip(plain + louder * sound.samples, -1, 1).astype(np.float32)
    return _called(model, plain) != target, _called(model, added) == target


def _called(
    model: AudioModel, waveforms: Float[np.ndarray, "clips time"]
) -> Int[np.ndarray, "clips"]:
    with fast_math():
        return np.asarray(model.logits(torch.from_numpy(waveforms)).argmax(dim=1).numpy())
