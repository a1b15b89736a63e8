"""Models that are audited: what they can be asked, and how a file becomes one."""

from otoscope.models.base import (
    Activations,
    AudioModel,
    FunctionModel,
    HasFeatures,
    HasGradients,
    Hearing,
    TorchModel,
    activations,
)

__all__ = [
    "Activations",
    "AudioModel",
    "FunctionModel",
    "HasFeatures",
    "HasGradients",
    "Hearing",
    "TorchModel",
    "activations",
]
