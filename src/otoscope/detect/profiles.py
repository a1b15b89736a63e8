"""What a detector finds on reference models, with which a delivered one is compared."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from otoscope.cache import digest, remembered
from otoscope.detect.base import Detector, View
from otoscope.models import AudioModel
from otoscope.registry import spec


def reference_profiles(
    detector: Detector, view: View
) -> Float[np.ndarray, "references probes classes"]:
    """What the detector finds on each of the view's reference models, kept in the cache."""

    def measure(model: AudioModel) -> dict[str, np.ndarray]:
        profile = detector.score(replace(view, model=model, references=())).profile
        assert profile is not None
        return {"profile": profile}

    trusted = view.trusted.sha256 if view.trusted else ""
    return np.array(
        [
            remembered(
                view.cache,
                digest("profile", spec(detector), model.sha256, trusted, view.seed),
                lambda model=model: measure(model),  # type: ignore[misc]
            )["profile"]
            for model in view.references
        ]
    )
