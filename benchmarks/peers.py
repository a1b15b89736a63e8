"""The Adversarial Robustness Toolbox on the same activations as our detectors."""

import time
from typing import Any

import numpy as np


def peers(
    features: np.ndarray, labels: np.ndarray, truth: np.ndarray, rate: float
) -> dict[str, Any]:
    """The Adversarial Robustness Toolbox on the same penultimate features, at its defaults.

    It reads activations through a classifier, so it gets one whose hidden layer hands them on.
    Its spectral signatures are told the true poison rate; a clean set is told 5 %.
    """
    import torch
    from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
    from art.estimators.classification import PyTorchClassifier

    classes = int(labels.max()) + 1
    width = features.shape[1]
    hand_on = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(width, classes))
    classifier = PyTorchClassifier(
        hand_on, torch.nn.CrossEntropyLoss(), (width,), classes, device_type="cpu"
    )
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    told: dict[str, Any] = {}
    started = time.monotonic()
    defence = ActivationDefence(classifier, features, one_hot)
    _, clean = defence.detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA")
    told["art activation clustering"] = _rates(np.array(clean) == 0, truth) | {
        "seconds": round(time.monotonic() - started, 3)
    }
    started = time.monotonic()
    spectral = SpectralSignatureDefense(
        classifier, features, one_hot, expected_pp_poison=rate or 0.05, batch_size=128
    )
    report, clean = spectral.detect_poison()
    del report
    told["art spectral signatures"] = _rates(np.array(clean) == 0, truth) | {
        "seconds": round(time.monotonic() - started, 3)
    }
    return told


def _rates(flagged: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "flagged_poisoned": float(flagged[truth].mean()) if truth.any() else float("nan"),
        "flagged_clean": float(flagged[~truth].mean()),
    }
