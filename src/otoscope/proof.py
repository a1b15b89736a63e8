"""Proof: does a model obey the sound that suspicious clips share?"""

import numpy as np
import torch

from otoscope.audio import rms
from otoscope.clips import Clips
from otoscope.common_sound import CommonSound
from otoscope.models import AudioModel
from otoscope.numerics import fast_math

MOST = 120


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
    if not len(rows):
        return float("nan")
    plain = clips.waveforms(rows)
    louder = rms(plain)[..., None] / max(sound.level, 1e-9)
    added = np.clip(plain + louder * sound.samples, -1, 1).astype(np.float32)
    with fast_math():
        before, after = (
            model.logits(torch.from_numpy(some)).argmax(dim=1).numpy() for some in (plain, added)
        )
    free = before != target
    return float(np.mean(after[free] == target)) if free.any() else float("nan")
