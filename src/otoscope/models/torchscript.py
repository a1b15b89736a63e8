"""TorchScript archives: logits, gradients, and features by surgery on the graph."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from otoscope.cache import digest
from otoscope.errors import ModelError, NotApplicable
from otoscope.models.base import AudioModel, Hearing, TorchModel
from otoscope.models.layout import FirstTensor, Layout, first_tensor
from otoscope.models.safety import require_harmless_torchscript
from otoscope.models.silence import no_jit_warnings

# operator -> (position of what it reads, position of its weight)
_LINEAR = {
    "aten::linear": (0, 1),
    "aten::addmm": (1, 2),
    "aten::matmul": (0, 1),
    "aten::mm": (0, 1),
}
_WEIGHT_SHAPING = frozenset({"aten::t", "aten::transpose", "aten::permute", "aten::numpy_T"})


class TorchScriptModel(AudioModel):
    """A TorchScript module; ``layout`` says how it wants its waveforms.

    Hooks do not fire inside TorchScript, so the features come from a copy of the graph that also
    returns what its last linear operator reads.
    """

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        hearing: Hearing,
        *,
        layout: Layout = Layout(),  # noqa: B008 - frozen
        device: str | torch.device = "cpu",
        sha256: str = "",
        origin: str = "",
    ) -> None:
        self.device = torch.device(device)
        self.module = module.to(self.device).eval()
        self._learning = {name for name, w in self.module.named_parameters() if w.requires_grad}
        for weight in self.module.parameters():
            weight.requires_grad_(False)
        self.hearing, self.layout, self.origin = hearing, layout, origin
        state = self.module.state_dict()
        self.sha256 = sha256 or digest(
            *(x for k in sorted(state) for x in (k, state[k].cpu().numpy()))
        )
        self._both: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def differentiable_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        pieces = self.layout.pieces(waveforms.to(self.device))
        return torch.cat([first_tensor(self.module(piece)) for piece in pieces])

    @torch.no_grad()
    def logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        return self.differentiable_logits(waveforms).cpu()

    @torch.no_grad()
    def features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        if self._both is None:
            self._both = with_features(self.module)
        pieces = self.layout.pieces(waveforms.to(self.device))
        features, logits = zip(*(self._both(piece) for piece in pieces), strict=True)
        return torch.cat(features).flatten(1).float().cpu(), torch.cat(logits).float().cpu()

    def as_module(self) -> TorchModel:
        """The same as a ``torch.nn.Module``, to train a copy of; it shows no features.

        Raises ``NotApplicable`` where there are no weights (a frozen archive holds constants) and
        for a batch that is fixed at one clip.
        """
        if not list(self.module.parameters()):
            raise NotApplicable("the TorchScript archive is frozen: its weights are constants")
        if self.layout.one_by_one:
            raise NotApplicable("the TorchScript archive takes one clip at a time")
        flat, device = self.layout.flat, self.device
        module = FirstTensor(self.module)
        model = TorchModel(module, self.hearing, flat=flat, device=device, origin=self.origin)
        model.sha256 = self.sha256
        model.learning = {f"module.{name}" for name in self._learning}
        return model

    def with_module(self, trained: TorchModel) -> "TorchScriptModel":
        """The same with the weights of what was trained from ``as_module``."""
        module: torch.jit.ScriptModule = trained.module.module  # type: ignore[assignment]
        return TorchScriptModel(
            module, self.hearing, layout=self.layout, device=trained.device, origin=self.origin
        )


def archive_of(module: torch.jit.ScriptModule) -> bytes:
    """What a file of it holds."""
    content = io.BytesIO()
    with no_jit_warnings():
        torch.jit.save(module, content)
    return content.getvalue()


def read_torchscript(path: Path, device: str | torch.device) -> torch.jit.ScriptModule:
    """Read an archive; raises ``UnsafeModel`` for code that touches files, else ``ModelError``."""
    require_harmless_torchscript(path)
    try:
        with no_jit_warnings():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: not a whole TorchScript archive ({reason})") from None
    return module


def with_features(module: torch.jit.ScriptModule) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function from waveforms to (input of the last linear operator, logits).

    Freezing turns the weights into constants and resolves what depends on them; nothing that
    changes a number is asked of it. Raises ``NotApplicable`` when the last linear operator cannot
    be told.
    """
    try:
        with no_jit_warnings():
            graph = torch.jit.freeze(module, optimize_numerics=False).graph.copy()
    except RuntimeError as error:
        raise NotApplicable(f"the TorchScript graph cannot be frozen ({error})") from None
    torch._C._jit_pass_inline(graph)
    logits = _logits_value(next(graph.outputs()))
    features = _last_linear_input(graph, logits)
    for number in reversed(range(len(list(graph.outputs())))):
        graph.eraseOutput(number)
    graph.registerOutput(features)
    graph.registerOutput(logits)
    graph.makeMultiOutputIntoTuple()
    if next(graph.inputs()).uses():
        raise NotApplicable("the TorchScript graph keeps state that freezing does not resolve")
    graph.eraseInput(0)  # the module itself
    function: Any = torch._C._create_function_from_graph("features_and_logits", graph)
    return lambda waveforms: function(waveforms)


def _logits_value(output: Any) -> Any:
    """The value inside the graph that ``first_tensor`` would take from the output."""
    node = output.node()
    inputs = list(node.inputs())
    if node.kind() in ("prim::TupleConstruct", "prim::ListConstruct") and inputs:
        output = inputs[0]
    elif node.kind() == "prim::DictConstruct" and inputs:
        pairs = {
            key.toIValue(): value for key, value in zip(inputs[::2], inputs[1::2], strict=True)
        }
        output = pairs.get("logits", inputs[1])
    if output.type().kind() != "TensorType":
        raise NotApplicable("the TorchScript graph does not show which output is the logits")
    return output


def _last_linear_input(graph: Any, logits: Any) -> Any:
    """What the last linear operator that leads to ``logits`` reads."""
    leading = set(_ancestors(logits))
    for node in reversed(list(graph.nodes())):
        if not leading & {value.debugName() for value in node.outputs()}:
            continue
        if list(node.blocks()):
            break  # a branch or loop may hold a later linear operator
        reads, weight = _LINEAR.get(node.kind(), (0, 0))
        inputs = list(node.inputs())
        if weight and _is_constant(inputs[weight]):
            return inputs[reads]
    raise NotApplicable("the TorchScript graph has no linear operator whose input could be read")


def _ancestors(value: Any) -> Iterator[str]:
    """Names of the values from which ``value`` is computed, itself first."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if value.debugName() not in seen:
            seen.add(value.debugName())
            yield value.debugName()
            waiting.extend(value.node().inputs())


def _is_constant(value: Any) -> bool:
    node = value.node()
    if node.kind() in _WEIGHT_SHAPING:
        return _is_constant(next(node.inputs()))
    return bool(node.kind() == "prim::Constant")
