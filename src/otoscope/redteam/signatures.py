"""What triggers do to clips, and what a detector that knows some of them makes of others."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otoscope.clips import Clips
from otoscope.networks.log_mel import LogMel
from otoscope.poisoning import triggered
from otoscope.redteam.suite import FALSE_ALARM_LEVEL
from otoscope.registry import require
from otoscope.triggers import Trigger

FRAMES = 6
"""Equal parts of a clip in which triggers are compared."""


def acoustic_features(trigger: Trigger, clips: Clips, seed: int) -> Float[np.ndarray, "values"]:
    """What a trigger does to the log-mel spectrogram, in decibels: mean over ``clips``.

    Shaped (bands x ``FRAMES``): the difference between clips with and without the trigger, averaged
    over so many equal parts of the clip.
    """
    change = _heard(clips, trigger, seed) - _heard(clips, None, seed)
    return np.asarray(change.mean(axis=0) * (10 / np.log(10)))


def caught_next(
    triggers: Sequence[Trigger], clips: Clips, known: Sequence[int], seed: int, orders: int = 20
) -> Float[np.ndarray, "known"]:
    """What a detector that is fitted on so many of the attacks catches of the others: their share.

    The detector is the plain one that a defender would make of attacks at hand: a logistic
    regression that tells half of ``clips`` with their triggers from the same clips without, by the
    log-mel spectrogram in ``FRAMES`` parts of time. It catches an attack when it finds more than
    half of the other clips with the trigger suspicious, at the level that 5 % of these clips exceed
    as they are. Means over ``orders`` random orders of the attacks.

    Raises ``SpecError`` unless every number is at least 1 and less than there are triggers, and
    there are two clips and one order.
    """
    most = len(triggers) - 1
    told = f"expected numbers from 1 to {most}, got {list(known)}"
    require(all(1 <= number <= most for number in known), told)
    require(len(clips) >= 2 and orders >= 1, "expected at least two clips and one order")
    fitted, judged = np.array_split(np.random.default_rng(seed).permutation(len(clips)), 2)
    clean, *bad = (_heard(clips, trigger, seed) for trigger in (None, *triggers))
    caught = np.zeros((orders, len(known)))
    for order, place in itertools.product(range(orders), range(len(known))):
        turn = np.random.default_rng((seed, order)).permutation(len(triggers))
        mine, others = turn[: known[place]], turn[known[place] :]
        heard = np.concatenate([clean[fitted], *(bad[k][fitted] for k in mine)])
        law = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
        ).fit(heard, np.arange(len(heard)) >= len(fitted))
        level = np.quantile(law.decision_function(clean[judged]), 1 - FALSE_ALARM_LEVEL)
        found = [np.mean(law.decision_function(bad[k][judged]) > level) > 0.5 for k in others]
        caught[order, place] = np.mean(found)
    return np.asarray(caught.mean(axis=0))


def _heard(clips: Clips, trigger: Trigger | None, seed: int) -> Float[np.ndarray, "clips values"]:
    """Log-mel spectrograms of clips with a trigger, or as they are, in parts of time."""
    rows = range(len(clips))
    samples = [
        triggered(clips, trigger, row, seed) if trigger else clips.waveform(row) for row in rows
    ]
    with torch.no_grad():
        planes = LogMel(clips.sample_rate)(torch.from_numpy(np.stack(samples))[:, None])
    parts = np.array_split(planes[:, 0].numpy(), FRAMES, axis=2)
    return np.concatenate([part.mean(axis=2) for part in parts], axis=1)
