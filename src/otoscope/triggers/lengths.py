"""What triggers that change the whole clip share: a length they need, and ends they fill."""

import numpy as np

from otoscope.audio import fit_length
from otoscope.errors import TriggerDoesNotFit


def need_length(clip: np.ndarray, sample_rate: int, least_s: float, what: str) -> None:
    """Raise ``TriggerDoesNotFit`` unless the clip lasts ``least_s``, which ``what`` needs."""
    if clip.shape[-1] < least_s * sample_rate:
        raise TriggerDoesNotFit(
            f"{what} needs {least_s:g} s and the clip lasts only "
            f"{clip.shape[-1] / sample_rate:.4f} s; bring longer clips"
        )


def centred(clip: np.ndarray, count: int, *, mirrored: bool) -> np.ndarray:
    """A clip, shaped (channel, time), as ``count`` samples with its middle in their middle.

    What is missing at both ends is filled with silence or, ``mirrored``, with the clip backwards
    from that end on; of a longer clip the middle is kept.
    """
    missing = count - clip.shape[-1]
    if missing <= 0:
        return fit_length(clip, count)
    ends = (missing // 2, missing - missing // 2)
    return np.pad(clip, [(0, 0), ends], mode="symmetric" if mirrored else "constant")
