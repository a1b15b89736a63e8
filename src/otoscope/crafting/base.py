"""``craft``: from a trigger's configuration to its file."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache as once
from typing import Unpack

import numpy as np
import torch

from otoscope.cache import Arrays, Cache, digest
from otoscope.clips import Clips
from otoscope.crafting.aim import Aim
from otoscope.crafting.generator import input_aware
from otoscope.crafting.patterns import flowmur, neuron, universal
from otoscope.errors import NotApplicable, PoisonError
from otoscope.labels import LabelShift
from otoscope.models import AudioModel
from otoscope.models.base import HasGradients
from otoscope.networks import CNN, Network
from otoscope.numerics import fast_math
from otoscope.registry import spec
from otoscope.training import HowTrained, train
from otoscope.triggers import (
    CraftedTrigger,
    FlowMur,
    InputAware,
    NeuronTrigger,
    Trigger,
    UniversalPerturbation,
)
from otoscope.triggers.crafted import PATTERN, RATE

AIMED_AT = 1024
"""A trigger is optimised on at most so many clips."""


def craft(
    trigger: Trigger,
    clips: Clips,
    shift: LabelShift,
    *,
    network: Network | None = None,
    surrogate: AudioModel | None = None,
    **how: Unpack[HowTrained],
) -> Trigger:
    """The trigger, ready to be put into clips: one that is made against a model gets its file.

    It is optimised so that ``surrogate`` gives triggered ``clips`` the class that ``shift`` wants;
    without a surrogate, ``network`` (a small CNN) is trained on the clips. The file lies in
    ``cache`` (``Cache.default()``), named by everything it depends on, so that the same arguments
    find it again. Triggers that need no crafting, or have a file, come back as they are; the parts
    of a ``stack`` or ``any-of`` are crafted one by one.

    Raises ``PoisonError`` when the shift moves none of the clips, and ``NotApplicable`` for a
    surrogate without gradients (the neuron trigger: without a linear layer).
    """
    kept = how.get("cache") or Cache.default()

    @once
    def aimed() -> tuple[Aim, str]:
        model = surrogate or train(network or CNN(), clips, **how)
        return _aim(model, clips, shift, how["seed"]), model.sha256

    def ready(part: Trigger) -> Trigger:
        if isinstance(part, CraftedTrigger) and part.path is None:
            aim, model = aimed()
            key = digest("craft", spec(part), model, clips.sha256, spec(shift), how["seed"])
            if kept.get(key) is None:
                with fast_math():
                    kept.put(key, _optimised(part, aim))
            return replace(part, path=str(kept.path(key)))
        parts: tuple[Trigger, ...] = getattr(part, "parts", ())
        # only Stack and AnyOf have parts, and both are made of triggers
        return replace(part, parts=tuple(map(ready, parts))) if parts else part  # type: ignore[call-arg]

    return ready(trigger)


def _aim(model: AudioModel, clips: Clips, shift: LabelShift, seed: int) -> Aim:
    """Some of the clips that the shift moves, as the model hears them."""
    if not isinstance(model, HasGradients):
        raise NotApplicable(
            f"crafting needs a model with gradients; {type(model).__name__} has none; "
            "give a PyTorch model, or none, so that a surrogate is trained"
        )
    hearing = model.hearing
    heard = clips.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)
    movable = np.flatnonzero(shift.attackable(heard.labels, heard.classes))
    if not len(movable):
        raise PoisonError(f"{shift.name} moves none of the {len(heard)} clips to craft with")
    some = heard.subset(np.sort(np.random.default_rng(seed).permutation(movable)[:AIMED_AT]))
    goal = shift.goal(some.labels, some.classes)
    waveforms, labels, wanted = (
        torch.from_numpy(np.ascontiguousarray(array)).to(model.device)
        for array in (np.concatenate(list(some.batches())), some.labels, goal)
    )
    return Aim(model, hearing, waveforms, labels, wanted, seed)


def _optimised(trigger: CraftedTrigger, aim: Aim) -> Arrays:
    """What the trigger's file holds."""
    patterns: dict[type[CraftedTrigger], Callable[..., np.ndarray]] = {
        FlowMur: flowmur,
        NeuronTrigger: neuron,
        UniversalPerturbation: universal,
    }
    if isinstance(trigger, InputAware):
        arrays = input_aware(trigger, aim)
    elif type(trigger) in patterns:
        arrays = {PATTERN: patterns[type(trigger)](trigger, aim)}
    else:
        raise NotApplicable(f"otoscope does not know how to craft {trigger.name!r}")
    return arrays | {RATE: np.array([aim.hearing.sample_rate])}
