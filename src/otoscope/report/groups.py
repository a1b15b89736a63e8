"""What one group of clips has in common and another lacks, on the mel spectrogram."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage

from otoscope.clips import Clips
from otoscope.errors import AudioError, NotApplicable
from otoscope.networks.log_mel import LogMel
from otoscope.numerics import fast_math
from otoscope.report.spectra import Region

MOST = 200
"""So many clips of each group are read at most, spread evenly over it."""

FEWEST = 5
"""A group of fewer clips has no spread to speak of."""

EDGE = 0.3
BATCH = 32
BANDS = 64
LEAST_SPREAD_DB = 1.0
DB_PER_NEPER = 10 / np.log(10)


@dataclass(frozen=True, eq=False)
class GroupDifference:
    """Mean mel spectrograms in dB of two groups, and how far apart they are.

    ``z`` is the difference of the means in robust standard deviations (1.4826 times the median
    absolute deviation) of the reference, cell by cell. ``region`` surrounds the largest |z|, down
    to ``EDGE`` of it, with the mean difference there in dB; ``peak`` is that z.
    """

    flagged: Float[np.ndarray, "bands frames"]
    reference: Float[np.ndarray, "bands frames"]
    z: Float[np.ndarray, "bands frames"]
    region: Region
    peak: float
    hop_s: float
    centres_hz: Float[np.ndarray, "bands"]
    count: tuple[int, int]


def compare_groups(
    clips: Clips, flagged: Int[np.ndarray, "some"], reference: Int[np.ndarray, "others"]
) -> GroupDifference:
    """Compare the clips at two sets of indices.

    Clips are read ``BATCH`` at a time; those that cannot be read any more are left out. Raises
    ``NotApplicable`` when a group has fewer than ``FEWEST`` readable clips.
    """
    front = LogMel(clips.sample_rate, BANDS)
    odd, usual = (_log_mels(front, clips, _spread(group)) for group in (flagged, reference))
    for name, group in (("flagged", odd), ("reference", usual)):
        if len(group) < FEWEST:
            raise NotApplicable(
                f"the {name} group holds {len(group)} readable clips; "
                f"{FEWEST} are needed to tell what they share"
            )
    middle = np.median(usual, axis=0)
    spread = 1.4826 * np.median(np.abs(usual - middle), axis=0)
    difference = odd.mean(axis=0) - usual.mean(axis=0)
    # digital silence has no spread at all, and every sound there would count as infinitely odd
    z = difference / np.maximum(spread, max(LEAST_SPREAD_DB, float(np.median(spread)) / 4))
    bins_hz = np.arange(front.size // 2 + 1) * clips.sample_rate / front.size
    filters = front.filters.numpy()
    hop_s = front.hop / clips.sample_rate
    return GroupDifference(
        odd.mean(axis=0),
        usual.mean(axis=0),
        z,
        _strongest(z, difference, hop_s, filters, bins_hz, clips.duration_s),
        float(z.flat[np.abs(z).argmax()]),
        hop_s,
        bins_hz[filters.argmax(axis=1)],
        (len(odd), len(usual)),
    )


def _strongest(
    z: np.ndarray,
    difference: np.ndarray,
    hop_s: float,
    filters: np.ndarray,
    bins_hz: np.ndarray,
    duration_s: float,
) -> Region:
    """The connected cells around the largest |z| that reach ``EDGE`` of it, as a box."""
    size = np.abs(z)
    parts, _ = ndimage.label(size >= EDGE * size.max())
    inside = parts == parts.flat[size.argmax()]
    bands, frames = np.nonzero(inside)
    # from a band's centre down or up to its neighbour's lies half of a triangle
    centres = bins_hz[filters.argmax(axis=1)]
    edges = np.concatenate([[0.0], (centres[:-1] + centres[1:]) / 2, [bins_hz[-1]]])
    return Region(
        max(0.0, (frames.min() - 0.5) * hop_s),
        min(duration_s, (frames.max() + 0.5) * hop_s),
        float(edges[bands.min()]),
        float(edges[bands.max() + 1]),
        float(difference[inside].mean()),
    )


def _spread(indices: np.ndarray) -> list[int]:
    """At most ``MOST`` of the indices, spread evenly."""
    count = min(MOST, len(indices))
    chosen: list[int] = indices[np.arange(count) * len(indices) // max(count, 1)].tolist()
    return chosen


def _log_mels(front: LogMel, clips: Clips, indices: list[int]) -> Float[np.ndarray, "n bands t"]:
    """Mel spectrograms in dB of the clips that can be read."""
    found = [np.empty((0, BANDS, 0), dtype=np.float32)]
    readable = _readable(clips, indices)
    with torch.no_grad(), fast_math():
        while batch := list(islice(readable, BATCH)):
            heard = front(torch.from_numpy(np.stack(batch)[:, None]))[:, 0]
            found.append(heard.numpy() * DB_PER_NEPER)
    return np.concatenate(found[1:] or found)


def _readable(clips: Clips, indices: list[int]) -> Iterator[np.ndarray]:
    for index in indices:
        try:
            yield clips.waveform(index)
        except AudioError:
            continue
