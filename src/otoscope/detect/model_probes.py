"""Probing sweeps: which class do parametric sounds and systems pull clips of other classes to?"""

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from otoscope.cache import digest, remembered
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.held_out import BABBLE, Start
from otoscope.detect.probes import Probe, probes
from otoscope.evidence import Recovered
from otoscope.metrics import accuracy
from otoscope.models import AudioModel, memory_of
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require, spec

POWER = 4
"""Of the pulls whose mean is a class's score: a change is a trigger where it moves nearly all."""

FLOOR = 1e-3
"""Added to that mean before the logarithm."""

LEAST_LOG_PROBABILITY = -8.0
HELD_OUT = 60
"""At most so many clips, kept out of the sweep, prove a probe's success."""

CHOSEN_ON = 36
"""At most so many further clips choose which probe, or pair of them, is proved."""

STRONGEST = 8

LEAST_PROBES = 11
"""The fewest probes of a sweep, and the clips as they are."""

FEW_CLIPS = 12
"""With so few clips a sweep still tells; below that, probes are left out."""


@dataclass(frozen=True)
class Probing(Detector):
    """A black-box sweep: about 280 parametric changes are made to trusted clips.

    Tones over frequency, noises in bands, bursts, sweeps, buzzes, filters, echoes, rooms, gains,
    distortions, speeds and gaps (``probes``) are applied to a few clips. A probe's pull to a class
    is the share of the clips that the model did not call so before and calls so with it, counted
    each by the probability that the model gives it (``answers`` "probabilities"), or by 1
    ("labels"); or the mean rise of their log-probability, floored at -8 and in eighths ("scores").
    By probabilities clean models are far more alike: what they are made to call something else they
    are less sure of than what carries a trigger.
    ``queries`` is how many clips the model may be asked about; with fewer than ``clips`` need,
    first clips are left out, down to 12, then all probes but every n-th. A class scores the
    logarithm of the mean over the probes of its pull's fourth power: in clean models, too, many
    changes move some clips to some class, but few move nearly all. The pulls themselves are the
    profile on which reference models are compared.

    Clean models also have a class that takes noise and one that takes silence, so the comparison
    with references says far more than that with the other classes. With the model alone the probes
    are made to babble (``babble``), each word counted as what the model calls it. Ours; it needs no
    gradient and, with "labels", only the decisions.
    """

    name: ClassVar[str] = "probing"
    level: ClassVar[Literal["data", "model"]] = "model"
    absolute: ClassVar[bool] = True
    queries: int = 10_500
    answers: Literal["probabilities", "labels", "scores"] = "probabilities"
    clips: int = 36

    def __post_init__(self) -> None:
        require(self.clips >= 4, f"probing.clips must be 4 or more, got {self.clips}")
        require(
            self.queries >= LEAST_PROBES * self._fewest,
            f"probing.queries must pay for ten probes of {self._fewest} clips and the clips "
            f"themselves, {LEAST_PROBES * self._fewest}; got {self.queries}",
        )

    @property
    def law(self) -> str:
        return f"{self.name}, labels" if self.answers == "labels" else self.name

    @property
    def usual(self) -> bool:
        return self in (Probing(), Probing(answers="labels"))

    @property
    def _fewest(self) -> int:
        return min(self.clips, FEW_CLIPS)

    def score(self, view: View) -> Scores:
        hearing = view.model.hearing
        swept = probes(hearing.length, hearing.sample_rate)
        words = min(BABBLE, self.queries // LEAST_PROBES)
        start = Start.of(view, words)
        left = self.queries - (0 if view.trusted else words)
        count = min(self.clips, max(self._fewest, left // (len(swept) + 1)))
        swept = swept[:: -(-len(swept) // (left // count - 1))]
        rows = _spread_over_classes(start.clips, count, view.seed)
        sounds = torch.from_numpy(start.clips.waveforms(rows)[:, 0])
        pull = remembered(
            memory_of(view.model, view.cache),
            digest(
                "pulls", spec(self), view.model.sha256, vars(hearing), start.clips.sha256, view.seed
            ),
            lambda: {"pull": self._pulls(view.model, sounds, swept)},
        )["pull"]

        def recover(k: int) -> Recovered:
            return _proof(view, start, swept, pull, k, rows)

        return Scores(
            classes=np.log(FLOOR + (np.maximum(pull, 0.0) ** POWER).mean(axis=0)),
            forward_passes=(1 + len(swept)) * len(sounds) / len(start.clips),
            recover=recover,
            profile=pull,
        )

    def _pulls(
        self, model: AudioModel, sounds: Tensor, swept: list[Probe]
    ) -> Float[np.ndarray, "probes classes"]:
        of = READ[self.answers]
        rows = []
        with fast_math():
            before = model.logits(sounds[:, None])
            free = np.asarray(before.argmax(1))[:, None] != np.arange(before.shape[1])
            start = of(before)
            for probe in track(swept, "probing", len(swept)):
                moved = of(model.logits(probe.apply(sounds)[:, None])) - start
                rows.append((moved * free).sum(axis=0) / np.maximum(free.sum(axis=0), 1))
        return np.array(rows)


def _called(logits: Tensor) -> Float[np.ndarray, "clips classes"]:
    return np.asarray(np.eye(logits.shape[1])[logits.argmax(1).numpy()])


def _sure(logits: Tensor) -> Float[np.ndarray, "clips classes"]:
    return np.asarray(_called(logits) * logits.softmax(dim=1).numpy())


def _log_probabilities(logits: Tensor) -> Float[np.ndarray, "clips classes"]:
    floored = logits.log_softmax(dim=1).clamp(min=LEAST_LOG_PROBABILITY)
    return floored.numpy().astype(np.float64) / -LEAST_LOG_PROBABILITY


READ = {"probabilities": _sure, "labels": _called, "scores": _log_probabilities}
"""What is read of the logits of a clip, class by class."""


def _spread_over_classes(clips: Clips, count: int, seed: int) -> np.ndarray:
    """``count`` clips, as evenly over the classes as they allow."""
    order = np.random.default_rng(seed).permutation(len(clips))
    labels = clips.labels[order]
    turn = np.array([np.sum(labels[:i] == labels[i]) for i in range(len(labels))])
    return np.asarray(np.sort(order[np.argsort(turn, kind="stable")][:count]))


def _proof(
    view: View,
    start: Start,
    swept: list[Probe],
    pull: Float[np.ndarray, "probes classes"],
    k: int,
    used: np.ndarray,
) -> Recovered:
    """The probe, or pair of probes, that best sends trusted clips of other classes to class k.

    Chosen on some clips that took no part in the sweep, and proved on others.
    """
    clips = start.clips
    others = np.flatnonzero(clips.labels != k)
    fresh = np.setdiff1d(others, used)
    order = np.random.default_rng(view.seed).permutation(fresh if len(fresh) else others)
    proving, choosing = order[:HELD_OUT], order[HELD_OUT : HELD_OUT + CHOSEN_ON]
    if not len(choosing):
        choosing = used[clips.labels[used] != k]
    probe = _slightest(view.model, _combined(swept, pull, k), clips.waveforms(choosing)[:, 0], k)
    before = torch.from_numpy(clips.waveforms(proving)[:, 0])
    after = probe.apply(before)
    predicted = view.model.logits(after[:, None]).argmax(1).numpy()
    success = accuracy(predicted, np.full(len(proving), k))
    return start.recovered(k, before[0], after[0], success, probe.what)


def _combined(swept: list[Probe], pull: Float[np.ndarray, "probes classes"], k: int) -> list[Probe]:
    """The probes that pull most to a class, and every pair of them."""
    best = [swept[p] for p in np.argsort(-pull[:, k], kind="stable")[:STRONGEST]]
    return best + [one.then(other) for one, other in combinations(best, 2)]


def _slightest(
    model: AudioModel, tried: list[Probe], clips: Float32[np.ndarray, "clips time"], k: int
) -> Probe:
    """Of the changes that send nearly as many clips to a class as the best, the slightest."""
    before = torch.from_numpy(clips)
    changed = [probe.apply(before) for probe in tried]
    sent = [float((model.logits(x[:, None]).argmax(1) == k).float().mean()) for x in changed]
    change = [float((x - before).square().mean()) for x in changed]
    strong = [i for i in range(len(tried)) if sent[i] >= 0.95 * max(sent)]
    return tried[min(strong, key=change.__getitem__)]
