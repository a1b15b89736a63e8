"""Regenerate mel_filters.npz with librosa (an oracle for tests only; not a dependency).

pip install librosa && python tests/golden/mel_filters.py
"""

from pathlib import Path

import librosa
import numpy as np

rng = np.random.default_rng(0)
samples = rng.uniform(-0.5, 0.5, 4000).astype(np.float32)
power = librosa.feature.melspectrogram(
    y=samples,
    sr=8000,
    n_fft=256,
    hop_length=80,
    n_mels=24,
    fmin=20.0,
    power=2.0,
    pad_mode="constant",
)
np.savez_compressed(
    Path(__file__).with_suffix(".npz"),
    filters_16k=librosa.filters.mel(sr=16000, n_fft=512, n_mels=40, fmin=20.0).astype(np.float64),
    samples=samples,
    power=power,
)
