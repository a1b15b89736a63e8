"""A changed clip brought back to its loudness, so that level gives nothing away."""

import numpy as np

from otoscope.audio import rms


def as_loud_as(clip: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """``changed`` at the RMS of ``clip``, over all channels; silence stays silence."""
    loudness = float(rms(changed.ravel()))
    return changed * (float(rms(clip.ravel())) / loudness) if loudness else changed
