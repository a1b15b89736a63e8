"""A network that makes a sound for each clip, by gradient descent on its weights."""

import numpy as np
import torch
from torch import Tensor

from otoscope.crafting.aim import Aim
from otoscope.triggers import InputAware
from otoscope.triggers.input_aware import patterns

FILTERS, WIDTH = 32, 64
STEP = 1e-2


def input_aware(trigger: InputAware, aim: Aim) -> dict[str, np.ndarray]:
    """The generator's weights, by their names."""
    weights = _drawn(aim)
    optimizer = torch.optim.Adam(weights.values(), STEP)
    for rows, _ in aim.batches(trigger.steps):
        optimizer.zero_grad()
        torch.autograd.backward(_loss(trigger, aim, weights, rows))
        optimizer.step()
    return {name: weight.detach().cpu().numpy() for name, weight in weights.items()}


def _loss(trigger: InputAware, aim: Aim, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
    """Attack, diversity and cross-trigger loss of one batch."""
    clips, levels = aim.clips[rows], aim.levels(rows, trigger.level_db)
    made = patterns(weights, clips)
    made = made / made.square().mean(dim=-1, keepdim=True).sqrt().clamp(min=1e-9)
    attack = aim.missed(clips + made * levels, rows)
    others = made.roll(1, dims=0)
    apart = (made - others).square().mean(dim=(1, 2)).sqrt()
    clips_apart = (clips / levels - clips.roll(1, 0) / levels.roll(1, 0)).square()
    alike = (clips_apart.mean(dim=(1, 2)).sqrt().clamp(max=1.0) / apart.clamp(min=1e-3)).mean()
    crossed = aim.model.differentiable_logits((clips + others * levels).clamp(-1, 1))
    kept = torch.nn.functional.cross_entropy(crossed, aim.labels[rows])
    return attack + trigger.diversity * alike + trigger.cross * kept


def _drawn(aim: Aim) -> dict[str, Tensor]:
    """Random weights, scaled by what each filter reads."""
    rng = np.random.default_rng(aim.seed)
    shapes = {
        "hear": (FILTERS, 1, WIDTH),
        "mix": (FILTERS, FILTERS, 3),
        "mix.bias": (FILTERS,),
        "speak": (FILTERS, 1, WIDTH),
    }
    scale = {"hear": WIDTH**-0.5, "mix": (3 * FILTERS) ** -0.5, "mix.bias": 0.1, "speak": 0.1}
    return {
        name: torch.from_numpy(rng.standard_normal(shape).astype(np.float32) * scale[name])
        .to(aim.clips.device)
        .requires_grad_()
        for name, shape in shapes.items()
    }
