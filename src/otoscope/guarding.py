"""Guard a model in use: is a live clip called what it is for its content, or for a trigger?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import log_softmax
from torch import Tensor

from otoscope import audio
from otoscope.cache import Cache, at_hand
from otoscope.calibrate import conformal_p_values
from otoscope.clips import Clips
from otoscope.detect.listening import taught
from otoscope.errors import AudioError, NotApplicable
from otoscope.models import Activations, AudioModel, HasFeatures, activations
from otoscope.models.base import BATCH
from otoscope.models.hearing_check import check_hearing
from otoscope.numerics import fast_math
from otoscope.registry import require

FEWEST_TRUSTED = 4
"""A class with fewer trusted clips has no place that a live clip could be far from."""

FEWEST_LEFT = 2
"""So many clips of a class must be left to measure those that are held out."""

STEPS_PER_CLASS = 20
HALVES, FOLDS = 2, 10

PerClip = Float[np.ndarray, "clips"]
Calls = Int[np.ndarray, "clips"]


@dataclass(frozen=True)
class Judged:
    """What a guard says of one clip.

    ``label`` is the model's answer, ``sounds_like`` that of small networks which know the trusted
    clips only. ``p_value`` is the chance of a trusted clip being as suspicious; ``alarm`` tells
    that it is at or below the guard's level.
    """

    label: str
    sounds_like: str
    p_value: float
    alarm: bool


class Guard:
    """Judges single clips by trusted ones, while a model is in use; made by ``guard``.

    Two statistics, one forward pass through the model and two through small networks:

    - how far the model's penultimate activations lie from the trusted clips of the class that it
      answers (Mahalanobis, the covariance inside classes shrunk as Ledoit and Wolf 2004 do; after
      Lee et al. 2018, 1807.03888): a trigger gets the class by another way than its word does;
    - how unlikely that class is to witnesses, small networks with strong augmentation that
      learned from the trusted clips alone and so never heard the trigger.

    Each counts from its median in units of the distance to its 0.95 quantile, both over the trusted
    clips, and their sum gives a conformal p-value there. A trusted clip is measured from places
    that nine tenths of the others gave, and by the witness that did not learn from it; clips of one
    speaker are left out together where that leaves some of every class. Of a model that does not
    show the input of its last linear layer only the second is known (``sees_inside``).

    ``level`` is the share of trusted clips that would alarm.
    """

    def __init__(
        self, model: AudioModel, trusted: Clips, *, level: float, seed: int, cache: Cache
    ) -> None:
        self.model, self.level, self.hearing = model, level, model.hearing
        names, labels = len(trusted.classes), trusted.labels
        turn = _turns(trusted, seed)
        self._witnesses = [
            taught(
                trusted.subset(turn % HALVES != half),
                steps=STEPS_PER_CLASS * names,
                seed=seed + half,
                cache=cache,
            )
            for half in range(HALVES)
        ]
        seen, sounds = activations(model, trusted, cache), trusted.waveforms(range(len(trusted)))
        heard = np.stack([_asked(witness, sounds) for witness in self._witnesses])
        told = [_unlikely(heard[turn % HALVES, np.arange(len(trusted))], seen.predicted)]
        self._places = None
        if seen.features is not None:
            self._places = _Places.of(seen.features, labels, names)
            apart = np.zeros(len(trusted))
            for fold in range(FOLDS):
                out = turn % FOLDS == fold
                places = _Places.of(seen.features[~out], labels[~out], names)
                apart[out] = places.distances(seen.features[out], seen.predicted[out])
            told.append(apart)
        self._middle, high = np.quantile(told, [0.5, 0.95], axis=1, keepdims=True)
        self._spread = np.maximum(high - self._middle, 1e-9)
        self._trusted = self._suspicion(told)

    @property
    def sees_inside(self) -> bool:
        """Whether the model shows what its last linear layer reads."""
        return self._places is not None

    def judge(self, samples: Float[np.ndarray, "time"], sample_rate: int) -> list[Judged]:
        """Judge a recording, mono in [-1, 1]: its consecutive windows, as long as the model hears.

        The last one is padded with zeros. Raises ``AudioError`` for what is no recording.
        """
        samples = np.asarray(samples)
        if not np.issubdtype(samples.dtype, np.floating) or not samples.size:
            raise AudioError(
                f"expected samples in [-1, 1], got {samples.size} of type {samples.dtype}"
            )
        heard = audio.Waveform(samples.astype(np.float32)[None, None], sample_rate)
        whole = audio.resample(heard.samples[0, 0], sample_rate, self.hearing.sample_rate)
        length = self.hearing.length
        count = max(1, -(-len(whole) // length))
        windows = audio.fit_length(whole, count * length).reshape(count, 1, length)
        return self.judge_all(windows)

    def judge_all(self, waveforms: Float[np.ndarray, "clips 1 time"]) -> list[Judged]:
        """Judge clips that are as the model hears them."""
        judged: list[Judged] = []
        for start in range(0, len(waveforms), BATCH):
            judged += self._judged(waveforms[start : start + BATCH])
        return judged

    def _judged(self, waveforms: Float[np.ndarray, "clips 1 time"]) -> list[Judged]:
        sounds = np.ascontiguousarray(waveforms, np.float32)
        with fast_math():
            seen = _seen(self.model, torch.from_numpy(sounds))
            heard = np.logaddexp(*(_asked(witness, sounds) for witness in self._witnesses))
        heard -= np.log(len(self._witnesses))
        told = [_unlikely(heard, seen.predicted)]
        if self._places is not None and seen.features is not None:
            told.append(self._places.distances(seen.features, seen.predicted))
        suspicion = self._suspicion(told)
        suspicion[~np.isfinite(seen.logits).all(axis=1)] = np.inf  # an answer that is no number
        p_values, names = conformal_p_values(suspicion, self._trusted), self.hearing.classes
        return [
            Judged(names[called], names[like], float(p), bool(p <= self.level))
            for called, like, p in zip(
                seen.predicted.tolist(), heard.argmax(axis=1).tolist(), p_values, strict=True
            )
        ]

    def told(self, judged: Sequence[Judged]) -> list[dict[str, Any]]:
        """The windows of one recording as plain values, each with the second at which it starts."""
        step_s = self.hearing.duration_s
        return [{"start_s": n * step_s} | asdict(one) for n, one in enumerate(judged)]

    def _suspicion(self, told: Sequence[PerClip]) -> PerClip:
        return np.asarray(((np.array(told) - self._middle) / self._spread).sum(axis=0))


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the clips of each class lie in a model, and how they spread inside classes."""

    means: Float[np.ndarray, "classes features"]
    precision: Float[np.ndarray, "features features"]

    @staticmethod
    def of(features: Float[np.ndarray, "clips features"], labels: Calls, classes: int) -> "_Places":
        from sklearn.covariance import LedoitWolf

        means = np.stack([features[labels == k].mean(axis=0) for k in range(classes)])
        inside = features - means[labels]
        return _Places(means, LedoitWolf(assume_centered=True).fit(inside).precision_)

    def distances(self, features: Float[np.ndarray, "clips features"], called: Calls) -> PerClip:
        """From the mean of the class that each clip is called by."""
        apart = features - self.means[called]
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", apart, self.precision, apart)))


def guard(
    model: AudioModel,
    trusted: Clips,
    *,
    level: float = 0.05,
    seed: int = 0,
    cache: Cache | None = None,
) -> Guard:
    """A guard for a model in use, from clips that are known to be good, like those it will hear.

    ``level`` is the share of clean clips that may alarm. Raises ``SpecError`` for a level out of
    (0, 1), ``ManifestError`` for labels that the model does not know, ``ModelMismatch`` when the
    model does not recognise the clips, and ``NotApplicable`` when a class has fewer than
    ``FEWEST_TRUSTED`` clips, or so few are there that none could alarm.
    """
    require(0 < level < 1, f"expected a level in (0, 1), got {level}")
    hearing = model.hearing
    clips = trusted.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)
    sizes = np.bincount(clips.labels, minlength=len(hearing.classes))
    if sizes.min() < FEWEST_TRUSTED:
        raise NotApplicable(
            f"a guard needs at least {FEWEST_TRUSTED} trusted clips of every class; of "
            f"{hearing.classes[int(sizes.argmin())]!r} there are {sizes.min()}"
        )
    if (1 + len(clips)) * level < 1:
        raise NotApplicable(
            f"with {len(clips)} trusted clips no p-value is below {1 / (1 + len(clips)):.3f}; "
            f"give more, or a level above that ({level:g} was asked for)"
        )
    check_hearing(model, trusted)
    with at_hand(cache) as kept:
        return Guard(model, clips, level=level, seed=seed, cache=kept)


def _turns(clips: Clips, seed: int) -> Calls:
    """Which clips are held out together: those of a speaker, where enough of every class are left.

    A live clip's speaker need not be among those of the trusted ones. Else each clip of a class has
    a number of its own. The order is drawn by the seed.
    """
    labels, rng = clips.labels, np.random.default_rng(seed)
    speakers = [clip.speaker for clip in clips]
    if all(speakers):
        _, of = np.unique(speakers, return_inverse=True)
        turn = rng.permutation(of.max() + 1)[of]
        if all(_left(labels, turn % parts) >= FEWEST_LEFT for parts in (HALVES, FOLDS)):
            return np.asarray(turn)
    turn = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        turn[members] = rng.permutation(len(members))
    return turn


def _left(labels: Calls, part: Calls) -> int:
    """The fewest clips of a class that are left while one part is held out."""
    sizes = np.bincount(labels)
    return min(
        int((sizes - np.bincount(labels[part == p], minlength=len(sizes))).min())
        for p in np.unique(part)
    )


def _unlikely(heard: Float[np.ndarray, "clips classes"], called: Calls) -> PerClip:
    """How unlikely the class that each clip is called by is, by log-probabilities."""
    return np.asarray(-heard[np.arange(len(heard)), called])


def _seen(model: AudioModel, waveforms: Tensor) -> Activations:
    """What a model answers, and its penultimate activations where it shows them."""
    if isinstance(model, HasFeatures):
        try:
            features, logits = model.features_and_logits(waveforms)
            return Activations(features.numpy(), logits.numpy())
        except NotApplicable:
            pass
    return Activations(None, model.logits(waveforms).numpy())


def _asked(
    witness: AudioModel, waveforms: Float[np.ndarray, "clips 1 time"]
) -> Float[np.ndarray, "clips classes"]:
    """A witness's log-probabilities."""
    parts = torch.split(torch.from_numpy(waveforms), BATCH)
    logits = np.concatenate([witness.logits(part).numpy() for part in parts])
    return np.asarray(log_softmax(logits.astype(np.float64), axis=1))
