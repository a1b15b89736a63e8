"""Proof: does a model obey the sound that suspicious clips share?"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from otoscope.audio import rms
from otoscope.clips import Clips
from otoscope.common_sound import CommonSound
from otoscope.models import AudioModel
from otoscope.models.base import BATCH
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
    return _share(obeyed, free)


def obedience_of_a_class(
    model: AudioModel, sets: list[Clips], sound: CommonSound, target: int, seed: int = 0
) -> float:
    """The same share of the clips of one other class: the class that obeys most.

    A trigger may be meant for one class alone (Tang et al., 1908.00686). Of each class at most 16
    clips of each set are asked, and classes with fewer than five to count are left out; NaN where
    all are.
    """
    asked = [clips.per_class(EACH, seed) for clips in sets]
    asked = [clips.subset(clips.labels != target) for clips in asked]
    labels = np.concatenate([clips.labels for clips in asked])
    told = [_obeyed(model, clips, sound, target) for clips in asked]
    free, obeyed = (np.concatenate(parts) for parts in zip(*told, strict=True))
    rows = [free & (labels == k) for k in np.unique(labels)]
    return max((_share(obeyed, some) for some in rows if some.sum() >= FEWEST), default=np.nan)


def release(
    model: AudioModel,
    clips: Clips,
    members: Int[np.ndarray, "some"],
    sound: CommonSound,
    seed: int = 0,
) -> float:
    """Share of clips that the model does not call by their label once the sound is taken out.

    Of at most 120 of the ``members``, drawn by ``seed``, that it calls so as they are; the sound is
    fitted to each by least squares. NaN where there is none.
    """
    members = np.random.default_rng(seed).permutation(members)[:MOST]
    plain, labels = clips.waveforms(members), clips.labels[members]
    energy = max(float(np.sum(sound.samples**2)), 1e-12)
    share = np.asarray(plain @ sound.samples / energy)
    without = (plain - share[..., None] * sound.samples).astype(np.float32)
    return _share(_called(model, without) != labels, _called(model, plain) == labels)


def _share(found: Bool[np.ndarray, "clips"], among: Bool[np.ndarray, "clips"]) -> float:
    return float(np.mean(found[among])) if among.any() else float("nan")


def _obeyed(
    model: AudioModel, clips: Clips, sound: CommonSound, target: int
) -> tuple[Bool[np.ndarray, "clips"], Bool[np.ndarray, "clips"]]:
    """Which clips the model does not call ``target``, and which it does with the sound added."""
    free, obeyed = np.zeros(len(clips), bool), np.zeros(len(clips), bool)
    for start in range(0, len(clips), BATCH):
        rows = np.arange(start, min(start + BATCH, len(clips)))
        plain = clips.waveforms(rows)
        louder = rms(plain)[..., None] / max(sound.level, 1e-9)
        added = np.clip(plain + louder * sound.samples, -1, 1).astype(np.float32)
        free[rows], obeyed[rows] = _called(model, plain) != target, _called(model, added) == target
    return free, obeyed


def _called(
    model: AudioModel, waveforms: Float[np.ndarray, "clips 1 time"]
) -> Int[np.ndarray, "clips"]:
    """The class of each clip; -1 where the model's answer is no number."""
    with fast_math():
        logits = model.logits(torch.from_numpy(waveforms)).cpu().numpy()
    return np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
