"""Does the model hear the trusted clips at all? If not, guess which setting is wrong."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from otoscope.clips import Clips
from otoscope.errors import ModelMismatch
from otoscope.models.base import AudioModel

LEVEL = 0.01
"""The model hears when chance would be as right as it is less often than this."""

COMMON_RATES_HZ = (8000, 16000, 22050, 44100, 48000)
_SHUFFLES = 999
_CLEAR_GAIN = 0.2
_PERMUTED_ACCURACY = 0.6
_CLIPS_PER_CLASS = 3


def check_hearing(model: AudioModel, trusted: Clips) -> float:
    """The model's accuracy on trusted clips, in [0, 1].

    Raises ``ModelMismatch`` when it is not above chance at ``LEVEL`` although there are enough
    clips to tell, with a guess: an order of the classes, or a sample rate, that fits. Raises
    ``ManifestError`` for labels that the model does not know.

    Chance: shuffled labels, so that a model that always gives the commonest answer does not pass;
    with a single label, a binomial test against 1 / classes.
    """
    hearing = model.hearing
    heard = trusted.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)
    labels, classes = heard.labels, len(hearing.classes)
    predicted = _predict(model, heard)
    accuracy = float(np.mean(predicted == labels))
    enough = _above_chance(labels, labels, classes)
    if not enough or _above_chance(labels, predicted, classes):
        return accuracy
    guesses = [
        *_guess_order(labels, predicted, hearing.classes),
        *_guess_rates(model, trusted, accuracy + _CLEAR_GAIN),
    ]
    advice = (
        max(guesses, key=lambda guess: guess.accuracy).advice
        if guesses
        else (
            f"is its sample rate {hearing.sample_rate} Hz? is this the order of its classes: "
            f"{', '.join(hearing.classes)}?"
        )
    )
    raise ModelMismatch(
        f"the model gets {accuracy:.0%} of {len(heard)} trusted clips right, which is no better "
        f"than chance; {advice}"
    )


class _Guess(NamedTuple):
    """What may be set wrong, and the accuracy that would follow from setting it right."""

    accuracy: float
    advice: str


def _predict(model: AudioModel, clips: Clips) -> Int[np.ndarray, "clips"]:
    batches = [model.logits(torch.from_numpy(b)).numpy().argmax(axis=1) for b in clips.batches()]
    return np.concatenate(batches)


def _above_chance(
    labels: Int[np.ndarray, "clips"], predicted: Int[np.ndarray, "clips"], classes: int
) -> bool:
    right = int(np.sum(labels == predicted))
    if len(np.unique(labels)) < 2:  # shuffling equal labels tells nothing
        test = binomtest(right, len(labels), 1 / classes, alternative="greater")
        return bool(test.pvalue <= LEVEL)
    rng = np.random.default_rng(0)
    by_chance = [np.sum(rng.permutation(labels) == predicted) for _ in range(_SHUFFLES)]
    return bool((1 + np.sum(np.array(by_chance) >= right)) / (1 + _SHUFFLES) <= LEVEL)


def _guess_order(
    labels: Int[np.ndarray, "clips"], predicted: Int[np.ndarray, "clips"], names: tuple[str, ...]
) -> Iterator[_Guess]:
    """The order of the classes under which the most answers are right, if that is most of them."""
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (predicted, labels), 1)
    _, fitting = linear_sum_assignment(confusion, maximize=True)
    accuracy = confusion[np.arange(len(names)), fitting].sum() / len(labels)
    if accuracy >= _PERMUTED_ACCURACY and len(labels) >= _CLIPS_PER_CLASS * len(names):
        order = ", ".join(names[k] for k in fitting)
        yield _Guess(
            accuracy,
            f"its classes look permuted: {accuracy:.0%} would be right in the order {order}",
        )


def _guess_rates(model: AudioModel, trusted: Clips, at_least: float) -> Iterator[_Guess]:
    """The common sample rates at which the model is right clearly more often."""
    hearing = model.hearing
    for rate in COMMON_RATES_HZ:
        same_seconds = max(1, round(hearing.length * rate / hearing.sample_rate))
        for length in {same_seconds, hearing.length}:
            heard = trusted.as_heard_by(rate, length, hearing.classes)
            try:
                predicted = _predict(model, heard)
            except Exception:  # a model of a fixed length may raise anything for another
                continue
            accuracy = float(np.mean(predicted == heard.labels))
            if accuracy >= at_least and _above_chance(heard.labels, predicted, len(heard.classes)):
                yield _Guess(
                    accuracy,
                    f"its sample rate looks like {rate} Hz, at which it gets {accuracy:.0%} "
                    f"right, instead of {hearing.sample_rate} Hz",
                )
