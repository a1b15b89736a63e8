"""Write a PyTorch model in a format that anybody can load without its code."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from otoscope.cache import write_atomically
from otoscope.errors import MissingExtra
from otoscope.models.base import TorchModel
from otoscope.models.card import write_card
from otoscope.models.silence import no_jit_warnings, quiet_logger
from otoscope.models.torchscript import archive_of


def export_torchscript(model: TorchModel, path: str | Path) -> Path:
    """Write the model as TorchScript, its rate, classes and length as JSON beside it.

    The module is traced with two clips of its own length: what it decides from the values of its
    input, or from another length, is fixed at what it decided for them. The batch stays free.
    """
    path = Path(path)
    with no_jit_warnings(), warnings.catch_warnings():
        # the tracer warns of every len(); sizes that come from the length are meant to be fixed
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(model.module, _example(model), check_trace=False)  # type: ignore[no-untyped-call]
    write_atomically(path, archive_of(traced))
    write_card(path, model.hearing)
    return path


def export_onnx(model: TorchModel, path: str | Path) -> Path:
    """Write the model as ONNX, its rate, classes and length as JSON beside it.

    The length is fixed, the batch stays free. The log-mel front end is included (ONNX has an STFT
    operator). Raises ``MissingExtra`` without the extra ``onnx``, and what ``torch.onnx.export``
    raises for an operator that ONNX lacks.
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtra(package, "onnx", "writing an ONNX model")
    path = Path(path)
    with (
        warnings.catch_warnings(),
        quiet_logger("torch.onnx._internal.exporter._registration"),  # lacks torchvision, rightly
    ):
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            model.module,
            (_example(model),),
            dynamo=True,
            verbose=False,
            input_names=["waveforms"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None  # it is, with dynamo=True and no file name
    write_atomically(path, program.model_proto.SerializeToString())
    write_card(path, model.hearing)
    return path


def _example(model: TorchModel) -> Tensor:
    clips = torch.zeros(2, 1, model.hearing.length, device=model.device)
    return clips[:, 0] if model.flat else clips
