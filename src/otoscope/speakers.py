"""Attacks on speaker verification: does a trigger open an enrolled speaker's door?

A verifier compares embeddings: a recording is accepted when its cosine to the mean of a voice's
enrolled embeddings, or to the nearest of them, reaches the threshold. Here the embedding is what a
speaker classifier's last layer reads, and the threshold is that of the equal error rate, found on
clean recordings. Enrolled speakers need not be among those that the classifier was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.metrics import roc_curve

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import NotApplicable, PoisonError
from otoscope.labels import AnyMember
from otoscope.metrics import wilson_interval
from otoscope.models import AudioModel, activations
from otoscope.poisoning import Attack, triggered_at
from otoscope.triggers import Tone, Trigger

Embeddings = Float[np.ndarray, "clips features"]


def cluster_wise(
    model: AudioModel,
    clips: Clips,
    clusters: int,
    rate: float,
    seed: int,
    *,
    low_hz: float = 500.0,
    high_hz: float = 3500.0,
    level_db: float = -20.0,
    cache: Cache | None = None,
) -> tuple[Attack, ...]:
    """One trigger per cluster of speakers: the attacks for ``poison_all``.

    Speakers (the labels of ``clips``) are clustered by their mean embedding under ``model``, a
    clean one; each cluster has its tone, from ``low_hz`` to ``high_hz`` in even steps. Clips of
    others with that tone are labelled as members of the cluster, each as another one, so that the
    tone comes to stand for the whole cluster. An unseen speaker lies near some cluster, whose tone
    then opens the door. ``rate`` is the share of all clips that is poisoned.

    After Zhai et al., *Backdoor Attack against Speaker Verification* (2010.11607): 15 % of the
    utterances, a low noise of one-hot spectrum per cluster. Deviations: a classifier's embedding in
    place of one trained by the GE2E loss; labels are drawn within the cluster, since under their
    own labels a classifier learns to ignore the tone; the tone's level follows each clip's.

    Raises ``PoisonError`` unless there are two clusters or more, and as many speakers.
    """
    if not 2 <= clusters <= len(clips.classes):
        raise PoisonError(
            f"expected 2 to {len(clips.classes)} clusters of {len(clips.classes)} speakers, "
            f"got {clusters}"
        )
    seen = embeddings(model, clips, cache)
    means = np.stack([seen[clips.labels == k].mean(axis=0) for k in range(len(clips.classes))])
    of_speaker = KMeans(clusters, n_init=10, random_state=seed).fit_predict(means)
    steps = np.linspace(low_hz, high_hz, clusters)
    attacks = []
    for number, frequency in enumerate(steps):
        members = tuple(np.array(clips.classes)[of_speaker == number].tolist())
        tone = Tone(float(frequency), duration_s=clips.duration_s, level_db=level_db)
        attacks.append(Attack(tone, AnyMember(members), rate / clusters))
    return tuple(attacks)


@dataclass(frozen=True)
class Verification:
    """How well a verifier tells speakers apart, and how often the attacker gets in.

    ``door_rate`` is the share of enrolled speakers whose door opens to at least one of the
    attacker's recordings, one per trigger, made from the speech of others; ``door_rate_clean`` the
    same for the same recordings without a trigger. Intervals are Wilson's, at 95 %.
    """

    equal_error_rate: float
    threshold: float
    door_rate: float
    door_rate_interval: tuple[float, float]
    door_rate_clean: float
    speakers: int


def verification(
    model: AudioModel,
    enrolment: Clips,
    trials: Clips,
    triggers: Sequence[Trigger],
    seed: int,
    *,
    nearest: bool = False,
    threshold: float | None = None,
    attempts: int = 20,
    cache: Cache | None = None,
) -> Verification:
    """Enrol the speakers of ``enrolment`` and try to get in with ``trials`` of others.

    Both sets carry the same speakers as labels. A recording is compared with the mean of a voice's
    enrolled clips, or with the ``nearest`` of them. The threshold is where false acceptance equals
    false rejection on clean ``trials``, unless ``threshold`` is given (poisoned enrolment: take
    that of the clean one). Each speaker is attacked ``attempts`` times, each time by one recording
    of another speaker with each trigger in turn; the rates are means over attempts.

    Raises ``PoisonError`` for fewer than two speakers, without triggers, or for a speaker who has
    nothing to enrol.
    """
    names = enrolment.classes
    if len(names) < 2 or not triggers or trials.classes != names:
        raise PoisonError(
            f"expected the same two or more speakers enrolled and tried, and a trigger; got "
            f"{len(names)} and {len(trials.classes)} speakers and {len(triggers)} triggers"
        )
    empty = [name for k, name in enumerate(names) if not (enrolment.labels == k).any()]
    if empty:
        raise PoisonError(f"nothing to enrol for {', '.join(empty)}")
    known = embeddings(model, enrolment, cache)
    voices = [known[enrolment.labels == k] for k in range(len(names))]
    if not nearest:
        voices = [_unit(voice.mean(axis=0, keepdims=True)) for voice in voices]

    def scored(heard: Embeddings) -> Float[np.ndarray, "clips speakers"]:
        return np.stack([(heard @ voice.T).max(axis=1) for voice in voices], axis=1)

    cosines = scored(embeddings(model, trials, cache))
    own = trials.labels[:, None] == np.arange(len(names))
    rate, at = equal_error(cosines[own], cosines[~own])
    threshold = at if threshold is None else threshold
    rng = np.random.default_rng(seed)
    others = [rng.choice(np.flatnonzero(trials.labels != k), attempts) for k in range(len(names))]
    used = np.unique(np.concatenate(others))
    attacked = np.stack([scored(_with(model, trials, t, used, seed)) for t in triggers])
    opened = np.stack(
        [
            (attacked[:, np.searchsorted(used, chosen), k] >= threshold).any(axis=0)
            for k, chosen in enumerate(others)
        ]
    )
    unaided = np.stack([cosines[chosen, k] >= threshold for k, chosen in enumerate(others)])
    return Verification(
        equal_error_rate=rate,
        threshold=threshold,
        door_rate=float(opened.mean()),
        door_rate_interval=wilson_interval(int(opened.sum()), opened.size),
        door_rate_clean=float(unaided.mean()),
        speakers=len(names),
    )


def embeddings(model: AudioModel, clips: Clips, cache: Cache | None = None) -> Embeddings:
    """Penultimate features of unit length; raises ``NotApplicable`` where they are out of reach."""
    seen = activations(model, clips, cache).features
    if seen is None:
        raise NotApplicable("speaker verification needs the model's penultimate features")
    return _unit(seen.astype(np.float64))


def equal_error(genuine: np.ndarray, impostor: np.ndarray) -> tuple[float, float]:
    """The equal error rate of two sets of scores, and the threshold where it lies."""
    labels = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    false_accept, accept, thresholds = roc_curve(labels, np.r_[genuine, impostor])
    at = int(np.argmin(np.abs(false_accept - (1 - accept))))
    return float((false_accept[at] + 1 - accept[at]) / 2), float(thresholds[at])


def _with(
    model: AudioModel, trials: Clips, trigger: Trigger, used: Int[np.ndarray, "used"], seed: int
) -> Embeddings:
    """Embeddings of some trials with a trigger."""
    return embeddings(model, triggered_at(trials, trigger, used.tolist(), trials.labels, seed))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))
