"""Measures of speech quality from other packages (the extra ``quality``).

Samples are shaped (time,), in [-1, 1].
"""

import warnings

import numpy as np
from jaxtyping import Float

from otoscope import audio
from otoscope.errors import MissingExtra

DNSMOS_HZ = 16_000
DNSMOS_SAMPLES = int(9.01 * DNSMOS_HZ)
"""What the predictor hears at once."""

Samples = Float[np.ndarray, "time"]


def stoi(clean: Samples, triggered: Samples, sample_rate: int) -> float | None:
    """Short-time objective intelligibility, at most 1 (Taal et al., 2011; the package pystoi).

    None where the clip holds too little speech (about 0.4 s) for the measure. Raises
    ``MissingExtra`` without the package.
    """
    try:
        from pystoi import stoi as measure
    except ImportError:
        raise MissingExtra("pystoi", "quality", "measuring intelligibility (STOI)") from None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(measure(clean.astype(float), triggered.astype(float), sample_rate))
        except (RuntimeWarning, ValueError):  # pystoi warns, or fails, when no frames are left
            return None


def dnsmos(samples: Samples, sample_rate: int) -> float:
    """Predicted mean opinion score, 1 to 5, overall (Reddy et al., 2110.01763; speechmos).

    A shorter clip is repeated to nine seconds, so that it is heard once; the package alone doubles
    it until it is long enough and then hears up to seven windows of the same. Raises
    ``MissingExtra`` without the package.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from speechmos import dnsmos as measure
    except ImportError:
        raise MissingExtra("speechmos", "quality", "predicting opinion scores (DNSMOS)") from None
    heard = np.clip(audio.resample(samples, sample_rate, DNSMOS_HZ), -1, 1)
    if len(heard) < DNSMOS_SAMPLES:
        heard = np.resize(heard, DNSMOS_SAMPLES)
    return float(measure.run(heard, DNSMOS_HZ)["ovrl_mos"])
