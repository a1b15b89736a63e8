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
    logits_of,
    memory_of,
)
from otoscope.models.export import export_onnx, export_torchscript
from otoscope.models.layout import Layout
from otoscope.models.onnx import OnnxModel
from otoscope.models.torchscript import TorchScriptModel

__all__ = [
    "Activations",
    "AudioModel",
    "FunctionModel",
    "HasFeatures",
    "HasGradients",
    "Hearing",
    "Layout",
    "OnnxModel",
    "TorchModel",
    "TorchScriptModel",
    "activations",
    "export_onnx",
    "export_torchscript",
    "logits_of",
    "memory_of",
]
