"""STRIP: a triggered clip keeps its class whatever is laid over it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import log_softmax

from otoscope import audio
from otoscope.clips import Clips
from otoscope.detect.base import Detector, Scores, View, members_by_class, require_clips
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

BATCH = 256


@dataclass(frozen=True)
class Strip(Detector):
    """Gao et al., 1902.06531 and, for audio, STRIP-ViTA, 1911.10312.

    Every clip is superimposed by ``blends`` others (trusted clips where there are any, else clips
    of the set) at ``level_db`` relative to its own level. A clip scores minus the Shannon entropy
    over classes, in bits, of each blend's prediction, averaged over the blends. A class scores
    minus the logarithm of the 0.05 quantile of its clips' entropies. Deviations:
    levels are matched before the sum, which is scaled down only where it would clip, and the
    paper's 100 blends (a forward pass each) become few.
    """

    name: ClassVar[str] = "strip"
    level: ClassVar[Literal["data", "model"]] = "data"
    blends: int = 3
    level_db: float = 0.0

    def __post_init__(self) -> None:
        require(self.blends >= 1, f"strip.blends must be at least 1, got {self.blends}")

    def score(self, view: View) -> Scores:
        clips = require_clips(view)
        overlays = view.trusted if view.trusted is not None and len(view.trusted) else clips
        rng = np.random.default_rng(view.seed)
        entropy = np.zeros(len(clips))
        starts = range(0, len(clips), BATCH)
        with fast_math():
            for start in track(starts, "superimposing clips", len(starts)):
                batch = clips.waveforms(range(start, min(start + BATCH, len(clips))))
                for _ in range(self.blends):
                    others = overlays.waveforms(rng.integers(0, len(overlays), len(batch)))
                    mixed = torch.from_numpy(superimposed(batch, others, self.level_db))
                    logits = view.model.logits(mixed).numpy()
                    entropy[start : start + len(batch)] += entropy_bits(logits) / self.blends
        return Scores(_class_scores(clips, entropy), -entropy, float(self.blends))


def superimposed(
    clips: Float[np.ndarray, "batch 1 time"],
    others: Float[np.ndarray, "batch 1 time"],
    level_db: float,
) -> Float[np.ndarray, "batch 1 time"]:
    """Each clip plus another at ``level_db`` relative to it, scaled down only where it clips."""
    floor = audio.SILENCE_RMS
    gain = np.maximum(audio.rms(clips), floor) / np.maximum(audio.rms(others), floor)
    mixed = clips + others * (gain * 10 ** (level_db / 20))[..., None]
    peak = np.abs(mixed).max(axis=-1, keepdims=True)
    return np.asarray(mixed / np.maximum(peak, 1.0), dtype=np.float32)


def entropy_bits(logits: Float[np.ndarray, "batch classes"]) -> Float[np.ndarray, "batch"]:
    """Shannon entropy of each row's softmax over the classes, in bits."""
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    return np.asarray(-(np.exp(log_p) * log_p).sum(axis=1) / np.log(2))


def _class_scores(clips: Clips, entropy: np.ndarray) -> np.ndarray:
    classes = np.full(len(clips.classes), np.nan)
    for k, members in members_by_class(clips):
        classes[k] = -np.log(max(float(np.quantile(entropy[members], 0.05)), 1e-6))
    return classes
