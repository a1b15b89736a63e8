"""What a model can be asked. Each ability is a protocol, found by ``isinstance``.

Every model takes waveforms, float32 tensors shaped (batch, 1, time) at its own sample rate and
length, and answers with logits shaped (batch, classes).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from otoscope.cache import Cache, digest, remembered
from otoscope.clips import Clips
from otoscope.errors import ModelError, NotApplicable
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.spill import gathered, take

BATCH = 256
TOLD_BY = 8
"""So many clips' answers tell a model from another with the same weights."""


LAYERS = 3
"""So many layers before the penultimate one are kept, and the first of all."""

GRID = (2, 6)
"""Cells over height (frequency) and time to which a layer's answer is averaged."""

RECURRENT = (nn.GRU, nn.LSTM, nn.RNN)
NONLINEAR = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)


@dataclass(frozen=True)
class Hearing:
    """What a model listens to: ``classes`` in the order of its logits, rate in Hz, samples."""

    classes: tuple[str, ...]
    sample_rate: int
    length: int

    @property
    def duration_s(self) -> float:
        """Length of what is heard, in seconds."""
        return self.length / self.sample_rate


class AudioModel(ABC):
    """Anything that turns waveforms into logits. ``sha256`` identifies its weights or file."""

    hearing: Hearing
    sha256: str
    origin: str

    @abstractmethod
    def logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        """The logits, without gradients, on the CPU."""

    def __repr__(self) -> str:
        heard = self.hearing
        return (
            f"<{type(self).__name__} of {len(heard.classes)} classes, {heard.sample_rate} Hz, "
            f"{heard.duration_s:g} s, sha256 {self.sha256[:12]}>"
        )


@runtime_checkable
class HasFeatures(Protocol):
    """A model that shows what its last linear layer reads (the penultimate representation)."""

    def features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        """Both from one forward pass, without gradients, on the CPU."""


@runtime_checkable
class HasLayers(Protocol):
    """A model that also shows what its first and last layers before the penultimate one answer."""

    def layers_features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[list[Tensor], Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        """All from one forward pass, without gradients, on the CPU.

        Layers are shaped (batch, channel, cell): the first of all, unless it is among the last
        ``LAYERS``, and those. Raises ``NotApplicable`` when there is no ``nn.Linear`` layer.
        """


@runtime_checkable
class HasGradients(Protocol):
    """A model through which a gradient flows back to its input."""

    device: torch.device

    def differentiable_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        """The logits, with gradients, on ``device``."""


class TorchModel(AudioModel):
    """A ``torch.nn.Module`` that takes waveforms.

    ``flat`` says that it wants (batch, time) instead of (batch, 1, time). The module is moved to
    ``device``, set to evaluation mode and frozen. Features are what the last ``nn.Linear`` that
    runs reads.
    """

    def __init__(
        self,
        module: nn.Module,
        hearing: Hearing,
        *,
        flat: bool = False,
        device: str | torch.device = "cpu",
        origin: str = "",
    ) -> None:
        self.device = torch.device(device)
        self.module = module.to(self.device).eval()
        self.learning = {name for name, w in self.module.named_parameters() if w.requires_grad}
        for weight in self.module.parameters():  # a script module refuses requires_grad_ as a whole
            weight.requires_grad_(False)
        self.hearing, self.flat, self.origin = hearing, flat, origin
        state = module.state_dict()
        self.sha256 = digest(*(x for k in sorted(state) for x in (k, state[k].cpu().numpy())))

    def learns(self, name: str) -> bool:
        """Whether a parameter was free when the module was wrapped; all were, if none was."""
        return not self.learning or name in self.learning

    def differentiable_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        heard = waveforms.to(self.device)
        out: Tensor = self.module(heard[:, 0] if self.flat else heard)
        return out

    @torch.no_grad()
    def logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        return self.differentiable_logits(waveforms).float().cpu()

    def features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        return self.layers_features_and_logits(waveforms)[1:]

    @torch.no_grad()
    def layers_features_and_logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> tuple[list[Tensor], Float32[Tensor, "batch features"], Float32[Tensor, "batch classes"]]:
        """Layers are nonlinearities or recurrent layers that keep time, each averaged over a coarse
        grid; features are what the last ``nn.Linear`` reads."""
        read: list[Tensor] = []
        answered: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, args: read.extend(args[:1]))
            for layer in self.module.modules()
            if isinstance(layer, nn.Linear)
        ] + [
            layer.register_forward_hook(lambda at, _, out: answered.extend(_on_a_grid(at, out)))
            for layer in self.module.modules()
            if isinstance(layer, NONLINEAR + RECURRENT)
        ]
        try:
            logits = self.differentiable_logits(waveforms)
        finally:
            for hook in hooks:
                hook.remove()
        if not read:
            raise NotApplicable("the model has no nn.Linear layer whose input could be read")
        inside = read[-1]
        if len(inside) != len(waveforms):
            raise NotApplicable("the model's last linear layer reads other rows than one per clip")
        answered = [one for one in answered if len(one) == len(waveforms)]
        layers = [layer.float().cpu() for layer in answered[:1] + answered[1:][-LAYERS:]]
        return layers, inside.flatten(1).float().cpu(), logits.float().cpu()


def _on_a_grid(layer: nn.Module, answer: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """What a layer answers, averaged over ``GRID`` (height, time): one tensor, or none.

    It is shaped (batch, channel, cell). None where the layer does not keep time; its own axes are
    (batch, channel, time), (batch, channel, height, time) or, for a recurrent layer, (batch, time,
    value).
    """
    planes = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(planes, Tensor):
        return []  # packed sequences
    if isinstance(layer, RECURRENT):
        planes = planes.transpose(1, 2) if layer.batch_first else planes.permute(1, 2, 0)
    if planes.ndim == 3:
        pooled = nn.functional.adaptive_avg_pool1d(planes, GRID[1])
    elif planes.ndim == 4:
        pooled = nn.functional.adaptive_avg_pool2d(planes, GRID)
    else:
        return []
    return [pooled.flatten(2)]


class FunctionModel(AudioModel):
    """A Python callable from waveforms, numpy float32 (batch, 1, time), to (batch, classes)."""

    def __init__(
        self, function: "WaveformsToLogits", hearing: Hearing, *, sha256: str = "", origin: str = ""
    ) -> None:
        self.function, self.hearing, self.sha256, self.origin = function, hearing, sha256, origin

    @torch.no_grad()
    def logits(
        self, waveforms: Float32[Tensor, "batch 1 time"]
    ) -> Float32[Tensor, "batch classes"]:
        return torch.from_numpy(np.asarray(self.function(waveforms.numpy()), dtype=np.float32))


class WaveformsToLogits(Protocol):
    """What ``FunctionModel`` wraps."""

    def __call__(self, waveforms: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Activations:
    """One forward pass over clips: penultimate features (None if out of reach) and logits.

    ``layers`` are what the last layers before them answered (``HasLayers``), none if out of reach.
    ``planes`` are the same by channel and cell, and before them what the first layer of all did.
    Large arrays lie in a file (``spill``).
    """

    features: Float[np.ndarray, "clips features"] | None
    logits: Float[np.ndarray, "clips classes"]
    layers: tuple[Float[np.ndarray, "clips values"], ...] = ()
    planes: tuple[Float[np.ndarray, "clips channel cell"], ...] = ()

    @property
    def predicted(self) -> Int[np.ndarray, "clips"]:
        """The class with the largest logit."""
        return np.asarray(self.logits.argmax(axis=1))

    def at(self, rows: Int[np.ndarray, "some"]) -> "Activations":
        """Those of some clips, in memory."""
        return Activations(
            None if self.features is None else take(self.features, rows),
            take(self.logits, rows),
            tuple(take(layer, rows) for layer in self.layers),
        )


def activations(model: AudioModel, clips: Clips, cache: Cache | None = None) -> Activations:
    """Run every clip through the model once; cached by model and clips, unless it is spilled.

    ``clips`` must be as the model hears (``Clips.as_heard_by``).
    """
    memory = memory_of(model, cache)
    key = digest("activations and planes", _told_apart(model, clips, memory), clips.sha256)
    found = remembered(memory, key, lambda: _heard(clips, partial(_forward, model)))
    planes = tuple(found[name] for name in sorted(found) if name.startswith("plane"))
    layers = tuple(plane.reshape(len(plane), -1) for plane in planes[-LAYERS:])
    return Activations(found.get("features"), found["logits"], layers, planes)


def logits_of(
    model: AudioModel, clips: Clips, cache: Cache | None = None
) -> Float[np.ndarray, "clips classes"]:
    """As ``activations``, only the logits."""
    memory = memory_of(model, cache)
    key = digest("logits", _told_apart(model, clips, memory), clips.sha256)
    return remembered(
        memory,
        key,
        lambda: _heard(clips, lambda waveforms: {"logits": model.logits(waveforms)}),
    )["logits"]


def _told_apart(model: AudioModel, clips: Clips, memory: Cache | None) -> tuple[str, str]:
    """A model's digest, and one of what it answers to the first clips, for a key in ``memory``.

    Equal weights may belong to unlike functions. Rounded, since threads change the last digits.
    """
    if memory is None or not len(clips):
        return model.sha256, ""
    with fast_math():
        return model.sha256, digest(first_answers(model, clips).numpy().round(3))


def first_answers(model: AudioModel, clips: Clips) -> Float32[Tensor, "few classes"]:
    """The logits of the first clips, by which models with equal weights are told apart."""
    return model.logits(torch.from_numpy(clips.waveforms(np.arange(min(TOLD_BY, len(clips))))))


def memory_of(model: AudioModel, cache: Cache | None) -> Cache | None:
    """Where a model's answers may be kept: nowhere for one that no digest identifies."""
    return cache if model.sha256 else None


def _heard(clips: Clips, ask: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """What a model answers to all clips."""
    batches = track(clips.batches(BATCH), "listening to the clips", -(-len(clips) // BATCH))
    answers = (ask(torch.from_numpy(batch)) for batch in batches)
    named = ({name: values.numpy() for name, values in one.items()} for one in answers)
    with fast_math():
        return gathered(_numbers(named, clips), len(clips))


def _numbers(
    parts: Iterator[dict[str, np.ndarray]], clips: Clips
) -> Iterator[dict[str, np.ndarray]]:
    """The same; raises ``ModelError`` for a clip to which the model answers no number.

    Minus infinity may be the logarithm of a probability of 0.
    """
    start = 0
    for part in parts:
        for name, values in part.items():
            fine = np.isfinite(values) | (np.isneginf(values) if name == "logits" else False)
            wrong = np.flatnonzero(~fine.reshape(len(values), -1).all(axis=1))
            if len(wrong):
                raise ModelError(
                    f"{clips[start + wrong[0]].path}: the model's answer to it is no number (NaN "
                    "or infinite); is it silent? leave such clips out, or mend the model"
                )
        yield part
        start += len(values)


def _forward(model: AudioModel, waveforms: Tensor) -> dict[str, Tensor]:
    try:
        if isinstance(model, HasLayers):
            layers, features, logits = model.layers_features_and_logits(waveforms)
            named = {f"plane{number}": layer for number, layer in enumerate(layers)}
            return {"features": features, "logits": logits} | named
        if isinstance(model, HasFeatures):
            features, logits = model.features_and_logits(waveforms)
            return {"features": features, "logits": logits}
    except NotApplicable:
        pass
    return {"logits": model.logits(waveforms)}
