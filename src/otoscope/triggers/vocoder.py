"""Sound made longer or shorter, at its pitch: overlap-add at places of similar waveform.

After WSOLA (Verhelst and Roelands, *An overlap-add technique based on waveform similarity*,
ICASSP 1993). Frames last 30 ms and overlap by half. Each is taken within 7.5 ms of where it should
come from, there where it best continues the frame before it. All channels move together.
"""

import numpy as np

HOP_S = 0.015
"""Half a frame: more than one period of the lowest voices, so that they can be joined in phase."""

REACH_S = 0.0075
"""How far to search on either side: together one period of the lowest voices."""

TOWARDS_THE_MIDDLE = 1e-6
"""What a place at the edge of the search loses, so that silence and ties stay where they are."""


def stretched(clip: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """``clip``, float64 shaped (channel, time), ``factor`` (above 0) times as long, at its pitch.

    ``factor`` 1 gives the clip as it was. The length is rounded; it is at least one sample.
    """
    time = clip.shape[-1]
    count = max(1, round(time * factor))
    return retimed(clip, np.array([0.0, count]), np.array([0.0, time]), sample_rate)


def retimed(
    clip: np.ndarray, moments: np.ndarray, sources: np.ndarray, sample_rate: int
) -> np.ndarray:
    """``clip``, shaped (channel, time), told at another pace, at its pitch.

    At ``moments`` (increasing, in samples, from 0) sounds what stood at ``sources`` in the clip;
    in between the pace is constant. The last moment is the length of what comes back.
    """
    hop, count = max(1, round(HOP_S * sample_rate)), round(float(moments[-1]))
    grid = hop * np.arange(1 - (-count // hop))
    wanted = np.interp(grid, moments, sources) + np.maximum(grid - count, 0)
    margin = 2 * hop + round(REACH_S * sample_rate)  # what frames and search reach beyond the ends
    padded = np.pad(clip, [(0, 0), (margin, margin)])
    centres = _joined(padded.sum(axis=0), np.rint(wanted).astype(int) + margin, hop, sample_rate)
    frames = padded[:, centres[:, None] + np.arange(-hop, hop)]
    frames *= 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)
    halves = frames[:, :-1, hop:] + frames[:, 1:, :hop]
    return np.asarray(halves.reshape(len(clip), -1)[:, :count])


def _joined(mono: np.ndarray, wanted: np.ndarray, hop: int, sample_rate: int) -> np.ndarray:
    """The centres of frames near the ``wanted`` ones, each of which continues the one before."""
    reach = round(REACH_S * sample_rate)
    energy = np.concatenate([[0.0], np.cumsum(mono**2)])
    energy = energy[hop:] - energy[:-hop] + 1e-12 * energy[-1] + np.finfo(float).tiny
    weight = 1 / np.sqrt(energy)  # of the hop that starts at each sample
    offset = np.abs(np.arange(-reach, reach + 1))
    penalty = TOWARDS_THE_MIDDLE * offset / max(reach, 1)
    centres = wanted.copy()
    for at in range(1, len(wanted)):
        before, first = centres[at - 1], wanted[at] - hop - reach
        places = mono[first : first + 2 * reach + hop]
        likeness = np.correlate(places, mono[before : before + hop])
        likeness *= weight[first : first + 2 * reach + 1] * weight[before]
        centres[at] = first + int((likeness - penalty).argmax()) + hop
    return centres
