"""SCALE-UP: a triggered clip keeps its class when the input is multiplied."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, heard, mean_by_class, require_clips
from otoscope.models import AudioModel, TorchModel, activations
from otoscope.networks import Listener
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

BATCH = 256


@dataclass(frozen=True)
class ScaleUp(Detector):
    """Guo et al., 2302.03251: the scaled prediction consistency.

    A clip scores the share of ``scales`` factors, the odd numbers from 3 on, by which its input can
    be multiplied without another prediction (the paper's data-free form). With trusted clips, the
    mean of those of the predicted class is taken away and the rest is divided by their standard
    deviation (its data-limited form). A class scores the mean of its clips.

    What is multiplied: the log-mel where the model is a network of ours that has one, else, or with
    ``waveform``, the samples. Louder speech is the same speech, and to a log-mel a factor is but an
    offset, so that scaled samples are changed by little else than by being clipped to [-1, 1].

    Deviations: the paper multiplies pixels, which lie between 0 (black) and 1. Here black is the
    lowest value of the log-mel in all clips, and the highest takes the part of 1. A standard
    deviation is at least half a step of the consistency, since a few trusted clips may all agree;
    a class of fewer than two trusted clips takes mean and deviation of all of them.
    """

    name: ClassVar[str] = "scale-up"
    level: ClassVar[Literal["data", "model"]] = "data"
    scales: int = 5
    waveform: bool = False

    def __post_init__(self) -> None:
        require(self.scales >= 1, f"scale-up.scales must be at least 1, got {self.scales}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        factors = range(3, 2 * self.scales + 2, 2)
        predicted = heard(view).predicted
        with fast_math():
            scaling = scaling_of(view.model, clips, self.waveform)
            scores = consistency(scaling, clips, predicted, factors)
            if view.trusted is not None and len(view.trusted):
                seen = view.trusted_seen or activations(view.model, view.trusted, view.cache)
                known = consistency(scaling, view.trusted, seen.predicted, factors)
                labels, count = view.trusted.labels, len(clips.classes)
                mean, spread = usual(known, labels, count, 0.5 / self.scales)
                scores = (scores - mean[predicted]) / spread[predicted]
        return Scores(mean_by_class(clips, scores), scores, float(self.scales))


@dataclass(frozen=True, eq=False)
class Scaling:
    """An input that can be multiplied: ``read`` from waveforms, ``answer`` to it with logits.

    A factor moves values away from ``zero``; they stay between ``low`` and ``high``.
    """

    read: Callable[[Tensor], Tensor]
    answer: Callable[[Tensor], Tensor]
    zero: float
    low: float
    high: float

    def times(self, factor: float, values: Tensor) -> Tensor:
        return (self.zero + factor * (values - self.zero)).clamp(self.low, self.high)


def scaling_of(model: AudioModel, clips: Clips, waveform: bool = False) -> Scaling:
    """The log-mel of a network of ours, between its extremes over the clips; else the samples."""
    if (
        not waveform
        and isinstance(model, TorchModel)
        and isinstance(model.module, Listener)
        and not isinstance(model.module.front_end, nn.Identity)
    ):
        return _scaling_of_planes(model.module, model.device, clips)
    return Scaling(lambda waveforms: waveforms, model.logits, 0.0, -1.0, 1.0)


def _scaling_of_planes(listener: Listener, device: torch.device, clips: Clips) -> Scaling:
    def read(waveforms: Tensor) -> Tensor:
        planes: Tensor = listener.front_end(waveforms.to(device))
        return planes

    low, high = np.inf, -np.inf
    for batch in clips.batches(BATCH):
        planes = read(torch.from_numpy(batch))
        low, high = min(low, float(planes.min())), max(high, float(planes.max()))
    return Scaling(read, listener.body, low, low, high)


@torch.no_grad()
def consistency(
    scaling: Scaling, clips: Clips, predicted: Int[np.ndarray, "clips"], factors: range
) -> Float[np.ndarray, "clips"]:
    """The share of factors under which each clip is still given the class predicted for it."""
    kept = np.zeros(len(clips))
    batches = track(clips.batches(BATCH), "scaling clips", -(-len(clips) // BATCH))
    for number, batch in enumerate(batches):
        some = slice(number * BATCH, number * BATCH + len(batch))
        values = scaling.read(torch.from_numpy(batch))
        for factor in factors:
            told = scaling.answer(scaling.times(factor, values)).argmax(dim=1)
            kept[some] += told.cpu().numpy() == predicted[some]
    return kept / len(factors)


def usual(
    known: Float[np.ndarray, "clips"], labels: Int[np.ndarray, "clips"], count: int, least: float
) -> tuple[Float[np.ndarray, "classes"], Float[np.ndarray, "classes"]]:
    """Mean and standard deviation of the trusted clips of each of ``count`` classes.

    Those of all trusted clips stand for a class that has fewer than two; no deviation is below
    ``least``.
    """
    mean, spread = np.full(count, known.mean()), np.full(count, known.std())
    for k in range(count):
        own = known[labels == k]
        if len(own) >= 2:
            mean[k], spread[k] = own.mean(), own.std()
    return mean, np.maximum(spread, least)
