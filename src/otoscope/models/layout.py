"""How a foreign model wants its waveforms, found by trying."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from otoscope.errors import ModelMismatch
from otoscope.models.base import Hearing

_PROBE_CLIPS = 2
_PROBE_LEVEL = 0.1


@dataclass(frozen=True)
class Layout:
    """``flat``: (batch, time) instead of (batch, 1, time). ``one_by_one``: one clip at a time."""

    flat: bool = False
    one_by_one: bool = False

    def pieces(self, waveforms: Float32[Tensor, "batch 1 time"]) -> Sequence[Tensor]:
        """The tensors to hand to the model, one after the other."""
        shaped = waveforms[:, 0] if self.flat else waveforms
        return torch.split(shaped, 1) if self.one_by_one else [shaped]


_LAYOUTS = (Layout(), Layout(flat=True))
_LAYOUTS_ONE_BY_ONE = (Layout(one_by_one=True), Layout(flat=True, one_by_one=True))


def find_layout(
    run: Callable[[Tensor], Any], hearing: Hearing, where: str, *, one_by_one: bool = True
) -> Layout:
    """The first layout under which ``run`` answers two clips of noise with (2, classes).

    With ``one_by_one``, a batch that is fixed at 1 is a possibility. Raises ``ModelMismatch`` that
    names both numbers when the classes differ in number, else what each layout gave.
    """
    noise = np.random.default_rng(0).standard_normal((_PROBE_CLIPS, 1, hearing.length))
    probe = torch.from_numpy((_PROBE_LEVEL * noise).astype(np.float32))
    wanted, counts, tried = len(hearing.classes), [], []
    for layout in _LAYOUTS + (_LAYOUTS_ONE_BY_ONE if one_by_one else ()):
        pieces = layout.pieces(probe)
        shape = tuple(pieces[0].shape)
        try:
            with torch.no_grad():
                outputs = torch.cat([first_tensor(run(piece)) for piece in pieces])
        except Exception as error:  # a foreign model may raise anything when the shape is wrong
            tried.append(f"{shape} raised {type(error).__name__}: {_brief(error)}")
            continue
        if outputs.ndim == 2 and outputs.shape == (_PROBE_CLIPS, wanted):
            return layout
        if outputs.ndim == 2 and len(outputs) == _PROBE_CLIPS:
            counts.append(outputs.shape[1])
        tried.append(f"{shape} gave {tuple(outputs.shape)}")
    if counts:
        raise ModelMismatch(
            f"{where} answers with {counts[0]} numbers per clip, but there are {wanted} "
            f"classes ({', '.join(hearing.classes[:8])}{' ...' if wanted > 8 else ''}); "
            "name all of the model's classes, in its order"
        )
    raise ModelMismatch(
        f"{where}: expected waveforms (batch, 1, {hearing.length}) or (batch, {hearing.length}) "
        "to give (batch, classes); " + "; ".join(tried)
    )


def first_tensor(output: Any) -> Tensor:
    """The tensor that stands for the logits: ``output`` itself, a mapping's "logits", or the first.

    Raises ``ModelMismatch`` when there is none.
    """
    found = output
    if isinstance(output, Mapping):
        found = output["logits"] if "logits" in output else next(iter(output.values()), None)
    elif isinstance(output, (tuple, list)):
        found = output[0] if output else None
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if not isinstance(found, Tensor):
        raise ModelMismatch(f"expected a tensor of logits, got {type(found).__name__}")
    return found.float()


class FirstTensor(nn.Module):
    """A module whose answer is the first tensor of another's."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, waveforms: Tensor) -> Tensor:
        return first_tensor(self.module(waveforms))


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else "no message")[:120]
