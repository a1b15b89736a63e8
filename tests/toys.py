"""Toy clips and toy activations, made on the spot: fast, and with a known truth."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from otoscope.cache import digest
from otoscope.clips import Clip, Clips
from otoscope.detect import View
from otoscope.models import Activations, FunctionModel, Hearing

RATE_HZ = 8000
LENGTH = 2000
NAMES = ("a", "b", "c", "d", "e", "f")


def tones(per_class: int = 30, seed: int = 0, names: tuple[str, ...] = NAMES) -> Clips:
    """Noisy sines in memory, one pitch a class: what a small network learns in seconds."""
    rng = np.random.default_rng(seed)
    items = []
    for k, name in enumerate(names):
        for number in range(per_class):
            pitch = 300 * 1.5**k * rng.uniform(0.97, 1.03)
            wave = np.sin(2 * np.pi * pitch * np.arange(LENGTH) / RATE_HZ + rng.uniform(0, 6))
            samples = 0.2 * wave * np.hanning(LENGTH) + 0.01 * rng.standard_normal(LENGTH)
            audio = samples.astype(np.float32)
            items.append(
                Clip(
                    f"{name}/{seed}-{number}.wav",
                    name,
                    f"s{number % 5}",
                    "",
                    samples=audio,
                    sha256=digest(audio),
                )
            )
    return Clips(tuple(items), Path(), RATE_HZ, LENGTH, names)


@dataclass(frozen=True, eq=False)
class Planted:
    """A view with made-up activations, and which of its clips are poison."""

    view: View
    truth: np.ndarray
    target: int


def activations_with(
    poison: int,
    *,
    per_class: int = 80,
    distance: float = 8.0,
    seed: int = 0,
    width: int = 16,
    trusted_per_class: int = 0,
) -> Planted:
    """Gaussian activations, 8 classes; ``poison`` clips of class 3 lie ``distance`` sigmas away."""
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh")
    scale = rng.uniform(0.5, 2.0, width)
    centres = 6 * rng.standard_normal((len(names), width))
    direction = rng.standard_normal(width)
    direction *= distance / np.linalg.norm(direction / scale)
    labels = np.repeat(np.arange(len(names)), per_class)
    truth = np.zeros(len(labels), dtype=bool)
    truth[np.flatnonzero(labels == 3)[:poison]] = True
    features = centres[labels] + scale * rng.standard_normal((len(labels), width))
    features[truth] += direction
    known = np.repeat(np.arange(len(names)), trusted_per_class)
    known_features = centres[known] + scale * rng.standard_normal((len(known), width))
    hearing = Hearing(names, RATE_HZ, LENGTH)
    view = View(
        model=FunctionModel(lambda w: np.zeros((len(w), len(names)), np.float32), hearing),
        seed=0,
        clips=_named(labels, names),
        seen=Activations(features.astype(np.float32), centres[labels][:, : len(names)]),
        trusted=_named(known, names) if trusted_per_class else None,
        trusted_seen=Activations(known_features.astype(np.float32), known_features[:, :8])
        if trusted_per_class
        else None,
    )
    return Planted(view, truth, 3)


def planes_with(
    poison: int,
    *,
    per_class: int = 60,
    strength: float = 4.0,
    seed: int = 0,
    trusted_per_class: int = 0,
) -> Planted:
    """Made-up planes (6 channels, 4 cells) and features beside them, 8 classes.

    ``poison`` clips of class 3 are other classes' clips on which the first two channels sound
    together in one cell; the features of all clips tell their label alone.
    """
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh")
    patterns = rng.gamma(1.0, 1.0, (len(names), 6, 4))
    labels = np.repeat(np.arange(len(names)), per_class)
    truth = np.zeros(len(labels), dtype=bool)
    truth[np.flatnonzero(labels == 3)[:poison]] = True
    content = np.where(truth, rng.integers(4, len(names), len(labels)), labels)

    def heard(content: np.ndarray, labels: np.ndarray, marked: np.ndarray) -> Activations:
        loudness = rng.lognormal(0, 0.2, (len(content), 1, 1))
        planes = patterns[content] * loudness + 0.3 * rng.standard_normal((len(content), 6, 4))
        planes[marked, :2, 2] += strength
        planes = np.maximum(planes, 0).astype(np.float32)
        features = 4 * np.eye(len(names))[labels] + rng.standard_normal((len(labels), len(names)))
        flat = planes.reshape(len(planes), -1)
        return Activations(features.astype(np.float32), features, (flat,), (planes,))

    known = np.repeat(np.arange(len(names)), trusted_per_class)
    base = activations_with(0).view
    view = replace(
        base,
        clips=_named(labels, names),
        seen=heard(content, labels, truth),
        trusted=_named(known, names) if trusted_per_class else None,
        trusted_seen=heard(known, known, np.zeros(len(known), dtype=bool))
        if trusted_per_class
        else None,
    )
    return Planted(view, truth, 3)


def _named(labels: np.ndarray, names: tuple[str, ...]) -> Clips:
    silence = np.zeros(LENGTH, dtype=np.float32)
    items = tuple(Clip(f"{i}.wav", names[k], samples=silence) for i, k in enumerate(labels))
    return Clips(items, Path(), RATE_HZ, LENGTH, names)
