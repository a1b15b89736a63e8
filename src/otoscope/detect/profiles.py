"""What a detector finds on reference models, with which a delivered one is compared."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from otoscope.detect.base import Detector, View


def reference_profiles(
    detector: Detector, view: View
) -> Float[np.ndarray, "references probes classes"]:
    """The profile of each of the view's reference models, by a detector that gives one."""
    return np.array(
        [
            detector.score(replace(view, model=model, references=())).profile
            for model in view.references
        ]
    )
