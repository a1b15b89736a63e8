"""Clips as batches of front-end features, gathered row by row and shifted at random."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.cache import Arrays, Cache, digest, remembered
from otoscope.clips import Clips
from otoscope.networks import Listener
from otoscope.progress import track
from otoscope.registry import Spec
from otoscope.spill import gathered, take

CHUNK = 512
JUDGED_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Front-end features and labels of some clips; ``rows`` are the clips' numbers in their set."""

    features: Tensor
    labels: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Some clips of a set, gathered batch by batch; ``rows`` are their numbers in it.

    ``features`` and ``labels`` are those of the whole set.
    """

    features: np.ndarray
    labels: Tensor
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, which: np.ndarray) -> Batch:
        """Some of these clips, by their place in ``rows``."""
        rows = self.rows[which]
        features = torch.from_numpy(take(self.features, rows))
        return Batch(features, self.labels[rows], torch.from_numpy(rows))

    def in_order(self) -> Iterator[Batch]:
        """All of them."""
        for start in range(0, len(self), JUDGED_AT_ONCE):
            yield self.at(np.arange(start, min(start + JUDGED_AT_ONCE, len(self))))


def front_end_features(
    listener: Listener, clips: Clips, cache: Cache | None = None, front_end: Spec | None = None
) -> np.ndarray:
    """The front end's output for every clip, computed once and cached chunk by chunk.

    A clip that is there several times is heard once.

    ``front_end`` identifies it in the cache; without it, and for networks on the raw waveform,
    nothing is cached. Much of it lies in a file (``spill``).
    """
    first, place = _distinct(clips)
    if len(first) < len(clips):
        heard = front_end_features(listener, clips.subset(first), cache, front_end)
        parts = np.array_split(place, -(-len(place) // CHUNK))
        return gathered(({"features": take(heard, part)} for part in parts), len(clips))["features"]
    kept = cache if front_end and not isinstance(listener.front_end, nn.Identity) else None

    def chunk(start: int) -> Arrays:
        part = clips.subset(np.arange(start, min(start + CHUNK, len(clips))))
        audio_of = [(c.sha256, c.start_s, c.duration_s) for c in part.items]
        key = digest("front end", front_end, audio_of, part.sample_rate, part.length)
        return remembered(kept, key, lambda: _listen(listener, part))

    starts = range(0, len(clips), CHUNK)
    chunks = map(chunk, track(starts, "computing features", len(starts)))
    return gathered(chunks, len(clips))["features"]


def _distinct(clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Where each clip comes first, in order, and which of these every clip is."""
    same = np.array([id(clip) for clip in clips.items])
    _, first, place = np.unique(same, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[place]


@torch.no_grad()
def _listen(listener: Listener, clips: Clips) -> Arrays:
    batches = [listener.front_end(torch.from_numpy(b)).numpy() for b in clips.batches()]
    return {"features": np.concatenate(batches)}


def put(features: Tensor, device: torch.device) -> Tensor:
    """On the device, planes with their channels last."""
    if features.ndim == 4:
        features = features.contiguous(memory_format=torch.channels_last)
    return features.to(device)


def shifted(features: Tensor, time_share: float, bands: int, rng: np.random.Generator) -> Tensor:
    """Each row moved by at most ``time_share`` of its last axis and, where it is a plane shaped
    (1, band, frame), by at most ``bands`` of its bands; the edge value fills the gap."""
    places = _offsets(features.shape[-1], int(time_share * features.shape[-1]), len(features), rng)
    if features.ndim != 4:
        return features.gather(-1, places[:, None].expand_as(features))
    rows = _offsets(features.shape[-2], bands, len(features), rng)
    which = (rows[:, :, None] * features.shape[-1] + places[:, None, :]).flatten(1)
    return features.flatten(1).gather(1, which).view_as(features)


def _offsets(length: int, most: int, count: int, rng: np.random.Generator) -> Tensor:
    """(count, length) positions 0 ... length - 1, each row moved by a draw of at most ``most``."""
    moved = torch.from_numpy(rng.integers(-most, most + 1, size=count))
    return (torch.arange(length)[None] + moved[:, None]).clamp(0, length - 1)
