"""One sound for all clips, by gradient descent on its samples."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from otoscope.crafting.aim import Aim
from otoscope.triggers import FlowMur, NeuronTrigger, UniversalPerturbation
from otoscope.triggers.base import faded

STEP = 0.05
"""Adam's step on samples whose RMS is about 1."""

SIGN_STEP = 0.05
"""The sign gradient's step on samples within [-1, 1]."""

HIGH = 10.0
"""A driven neuron shall reach so many times what any clean clip reaches."""

Loss = Callable[[Tensor, Tensor, np.random.Generator], Tensor]


def flowmur(trigger: FlowMur, aim: Aim) -> np.ndarray:
    """The samples, float32 (time,), at the surrogate's rate."""
    noise = aim.levels(torch.arange(len(aim.clips)), trigger.noise_db)

    def loss(sound: Tensor, rows: Tensor, rng: np.random.Generator) -> Tensor:
        drawn = torch.from_numpy(rng.standard_normal(aim.clips[rows].shape).astype(np.float32))
        around = aim.clips[rows] + drawn.to(aim.clips.device) * noise[rows]
        placed = _placed(sound, aim, None, rng, len(rows))
        return aim.missed(around + placed * aim.levels(rows, trigger.level_db), rows)

    return _descended(_window(trigger.duration_s, aim), loss, trigger.steps, aim)


def neuron(trigger: NeuronTrigger, aim: Aim) -> np.ndarray:
    """The samples, float32 (time,), at the surrogate's rate."""
    layer, read = aim.penultimate()
    pulls = layer.weight[torch.unique(aim.goal.clamp(min=0))].mean(dim=0)
    chosen = pulls.topk(min(trigger.neurons, len(pulls))).indices
    with torch.no_grad():
        height = HIGH * read(aim.clips[:256])[:, chosen].amax(dim=0).clamp(min=1e-3)

    def loss(sound: Tensor, rows: Tensor, rng: np.random.Generator) -> Tensor:
        placed = _placed(sound, aim, trigger.position_s, rng, len(rows))
        triggered = aim.clips[rows] + placed * aim.levels(rows, trigger.level_db)
        return (1 - read(triggered)[:, chosen] / height).square().mean()

    return _descended(_window(trigger.duration_s, aim), loss, trigger.steps, aim)


def universal(trigger: UniversalPerturbation, aim: Aim) -> np.ndarray:
    """The samples, float32 (time,), each within [-1, 1], as long as the surrogate's clips."""
    count = aim.hearing.length
    sound = torch.from_numpy(np.random.default_rng(aim.seed).choice([-0.1, 0.1], count)).float()
    sound = sound.to(aim.clips.device).requires_grad_()
    for rows, _ in aim.batches(trigger.steps):
        loss = aim.missed(aim.clips[rows] + _unit(sound) * aim.levels(rows, trigger.level_db), rows)
        (gradient,) = torch.autograd.grad(loss, sound)
        with torch.no_grad():
            sound.sub_(SIGN_STEP * gradient.sign()).clamp_(-1, 1)
    return _finished(sound)


def _descended(window: Tensor, loss_of: Loss, steps: int, aim: Aim) -> np.ndarray:
    """Adam on the samples of a sound inside ``window``, from faint white noise on."""
    start = np.random.default_rng(aim.seed).standard_normal(len(window))
    sound = torch.from_numpy(start).float().to(window.device).requires_grad_()
    optimizer = torch.optim.Adam([sound], STEP)
    for rows, rng in aim.batches(steps):
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(_unit(sound * window), rows, rng))
        optimizer.step()
    return _finished(sound * window)


def _placed(
    sound: Tensor, aim: Aim, position_s: float | None, rng: np.random.Generator, count: int
) -> Tensor:
    """``sound`` in silence as long as the clips, (count, 1, time), each at a place of its own."""
    length = aim.hearing.length
    room = length - len(sound)
    if position_s is None:
        starts = rng.integers(room + 1, size=count)
    else:
        starts = np.full(count, min(round(position_s * aim.hearing.sample_rate), room))
    at = torch.arange(length) - torch.from_numpy(starts)[:, None]
    inside = (at >= 0) & (at < len(sound))
    at, inside = at.clamp(0, len(sound) - 1).to(sound.device), inside.to(sound.device)
    return (sound[at] * inside)[:, None]


def _window(duration_s: float, aim: Aim) -> Tensor:
    """Ones with faded ends, as long as the sound."""
    rate = aim.hearing.sample_rate
    count = min(round(duration_s * rate), aim.hearing.length)
    return torch.from_numpy(faded(np.ones(count), rate)).float().to(aim.clips.device)


def _unit(sound: Tensor) -> Tensor:
    return sound / sound.square().mean().sqrt().clamp(min=1e-9)


def _finished(sound: Tensor) -> np.ndarray:
    return np.asarray(_unit(sound.detach()).cpu().numpy(), dtype=np.float32)
