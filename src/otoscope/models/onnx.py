"""ONNX files through onnxruntime: logits, and features where the package ``onnx`` is installed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from otoscope.errors import MissingExtra, ModelMismatch, NotApplicable
from otoscope.models.base import AudioModel, Hearing
from otoscope.models.layout import Layout, first_tensor
from otoscope.models.safety import refuse

_SILENT = 4
_WEIGHT_SHAPING = frozenset({"Transpose", "DequantizeLinear", "Identity", "Cast"})
_BRANCHES = frozenset({"If", "Loop", "Scan"})


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """An opened file: ``features`` names the value that its last linear node reads, if known."""

    session: Any
    features: str | None

    @property
    def length(self) -> int | None:
        """The number of samples that the input fixes; None when it is free."""
        last = self.session.get_inputs()[0].shape[-1:]
        return last[0] if last and isinstance(last[0], int) else None

    def __call__(self, waveforms: Tensor, *names: str) -> list[np.ndarray]:
        """The named outputs; without names, the first."""
        feed = {self.session.get_inputs()[0].name: waveforms.cpu().numpy()}
        wanted = list(names) or [self.session.get_outputs()[0].name]
        outputs: list[np.ndarray] = self.session.run(wanted, feed)
        return outputs


class OnnxModel(AudioModel):
    """An ONNX graph from waveforms to logits: forward only, on the CPU."""

    def __init__(
        self, graph: OnnxGraph, hearing: Hearing, *, layout: Layout, sha256: str, origin: str = ""
    ) -> None:
        self.graph, self.hearing, self.layout = graph, hearing, layout
        self.sha256, self.origin = sha256, origin

    def logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        pieces = self.layout.pieces(waveforms)
        return torch.cat([first_tensor(self.graph(piece)) for piece in pieces])

    def features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        if self.graph.features is None:
            raise NotApplicable(
                "the ONNX graph shows no linear node whose input could be read, or the package "
                "'onnx' is not installed (pip install '.[onnx]' in a checkout)"
            )
        first = self.graph.session.get_outputs()[0].name
        runs = [self.graph(p, self.graph.features, first) for p in self.layout.pieces(waveforms)]
        features, logits = (torch.from_numpy(np.concatenate(x)) for x in zip(*runs, strict=True))
        return features.flatten(1).float(), logits.float()


def read_onnx(path: Path) -> OnnxGraph:
    """Open a file. Raises ``MissingExtra``, ``UnsafeModel`` for a pickle, ``ModelError`` for a
    file that is damaged, ``ModelMismatch`` for a graph with several inputs.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "reading an ONNX model") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = torch.get_num_threads()

    def session(source: str | bytes) -> Any:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    try:
        plain = session(str(path))
    except Exception as error:  # its exceptions have no common base of their own
        refuse(path, f"not readable as ONNX ({str(error).splitlines()[0][:200]})")
    inputs = plain.get_inputs()
    if len(inputs) != 1:
        raise ModelMismatch(
            f"{path}: expected one input, the waveforms, got {len(inputs)}: "
            f"{', '.join(i.name for i in inputs)}"
        )
    widened = _with_features(path)
    return OnnxGraph(session(widened[0]), widened[1]) if widened else OnnxGraph(plain, None)


def _with_features(path: Path) -> tuple[bytes, str] | None:
    """The file's bytes with the last linear node's input as one more output, and its name."""
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load(str(path))
    name = _last_linear_input(model.graph)
    if name is None or model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        return None
    if name not in {output.name for output in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    return model.SerializeToString(), name


def _last_linear_input(graph: Any) -> str | None:
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name for tensor in graph.initializer}

    def is_constant(name: str) -> bool:
        maker = makers.get(name)
        if maker is None:
            return name in weights
        shaping = maker.op_type in _WEIGHT_SHAPING
        return maker.op_type == "Constant" or (shaping and is_constant(maker.input[0]))

    leading = set(_ancestors(graph.output[0].name, makers))
    for node in reversed(graph.node):
        if not leading & set(node.output):
            continue
        if node.op_type in _BRANCHES:
            return None  # a branch or loop may hold a later linear node
        if node.op_type in ("Gemm", "MatMul") and is_constant(node.input[1]):
            return str(node.input[0])
    return None


def _ancestors(name: str, makers: dict[str, Any]) -> Iterator[str]:
    """Names of the values from which ``name`` is computed, itself first."""
    waiting, seen = [name], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting.extend(makers[name].input if name in makers else ())
