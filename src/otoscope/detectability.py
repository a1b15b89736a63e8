"""Perceptible risk for machines: how well an algorithm tells poisoned clips from clean ones."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otoscope import metrics
from otoscope.auditing import scan
from otoscope.clips import Clips
from otoscope.detect import DETECTORS, View
from otoscope.errors import PoisonError
from otoscope.networks.log_mel import LogMel
from otoscope.poisoning import triggered
from otoscope.registry import build
from otoscope.triggers import Trigger

TOLD_CLIPS = 200
"""At most so many clips, and as many triggered ones, train and test the classifier."""

FOLDS = 5


def told_auroc(clips: Clips, trigger: Trigger, seed: int) -> float:
    """AUROC of a small classifier that was told which clips carry the trigger.

    At most ``TOLD_CLIPS`` clips, drawn by ``seed``, and their triggered copies; a logistic
    regression on log-mel statistics, cross-validated over ``FOLDS`` folds so that a clip, its copy
    and, where there are enough speakers, all clips of its speaker are in one fold. 0.5 is chance: a
    machine that knows the attack cannot tell; 1 means that a filter for this very trigger is easy.
    This is the most that a detector could hope for from such statistics, not what one reaches
    without being told. Raises ``PoisonError`` with fewer clips than folds.
    """
    drawn = np.random.default_rng(seed).permutation(len(clips))[:TOLD_CLIPS].tolist()
    if len(drawn) < FOLDS:
        raise PoisonError(f"telling clips apart needs at least {FOLDS} clips, got {len(drawn)}")
    samples = np.stack(
        [clips.waveform(i) for i in drawn] + [triggered(clips, trigger, i, seed) for i in drawn]
    )
    speakers = [clips[i].speaker for i in drawn]
    groups = speakers if len(set(speakers)) >= FOLDS else [str(i) for i in drawn]
    poisoned = np.repeat([False, True], len(drawn))
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)),
        _statistics(samples, clips.sample_rate),
        poisoned,
        groups=groups + groups,
        cv=GroupKFold(FOLDS),
        method="decision_function",
    )
    return metrics.auroc(scores, poisoned)


def detectors_auroc(
    mask: Bool[np.ndarray, "clips"], view: View, names: tuple[str, ...] | None = None
) -> dict[str, float]:
    """AUROC of each data-level detector on a poisoned set, by its name.

    ``view`` is ``auditing.look`` at the set; ``mask`` tells which of its clips are poisoned.
    ``names`` defaults to all data-level detectors; one that lacks what it needs is left out.
    """
    wanted = names or tuple(name for name in DETECTORS if DETECTORS[name].level == "data")
    found = {}
    for name in wanted:
        scores = scan(build(DETECTORS, name), view).scores
        if scores is not None and scores.clips is not None:
            found[name] = metrics.auroc(scores.clips, mask)
    return found


@torch.no_grad()
def _statistics(
    samples: Float[np.ndarray, "clips time"], sample_rate: int
) -> Float[np.ndarray, "clips values"]:
    """Per mel band: mean, spread, maximum and mean absolute step over time."""
    bands = LogMel(sample_rate)(torch.from_numpy(samples)[:, None])[:, 0].numpy()
    return np.concatenate(
        [
            bands.mean(axis=2),
            bands.std(axis=2),
            bands.max(axis=2),
            np.abs(np.diff(bands, axis=2)).mean(axis=2),
        ],
        axis=1,
    )
