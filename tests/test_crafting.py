"""Crafting: the optimised sound does to the surrogate what noise at its level does not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import otoscope as oto
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.crafting import craft
from otoscope.crafting.aim import Aim
from otoscope.errors import NotApplicable, PoisonError
from otoscope.labels import AllToOne, Untargeted
from otoscope.models import AudioModel, FunctionModel, Hearing
from otoscope.models.base import activations
from otoscope.poisoning import trigger_all
from otoscope.training import Recipe
from otoscope.triggers import (
    FlowMur,
    InputAware,
    NeuronTrigger,
    Stack,
    Tone,
    Trigger,
    UniversalPerturbation,
)
from toys import LENGTH, RATE_HZ, tones

SHIFT = AllToOne("b")
TO_CRAFT = [
    FlowMur(duration_s=0.2, level_db=0.0, steps=60),
    UniversalPerturbation(level_db=-5.0, steps=40),
    InputAware(level_db=0.0, steps=60),
]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return tones(20)


@pytest.fixture(scope="module")
def surrogate(clips: Clips) -> AudioModel:
    return oto.train(oto.networks.CNN(), clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))


def share_of_goal(model: AudioModel, trigger: Trigger, seed: int = 1) -> float:
    """How many fresh clips the model calls "b" with the trigger."""
    triggered = trigger_all(tones(6, seed=9), trigger, SHIFT, seed)
    return float((activations(model, triggered).predicted == 1).mean())


@pytest.mark.parametrize("trigger", TO_CRAFT, ids=lambda t: t.name)
def test_a_crafted_sound_moves_clips_that_noise_does_not(
    trigger: Trigger, clips: Clips, surrogate: AudioModel, tmp_path: Path
) -> None:
    ready = craft(trigger, clips, SHIFT, surrogate=surrogate, seed=0, cache=Cache(tmp_path))
    noise = dataclasses.replace(oto.triggers.NoiseBlend(), level_db=trigger.level_db)  # type: ignore[attr-defined]
    assert share_of_goal(surrogate, ready) > share_of_goal(surrogate, noise) + 0.3


def test_the_neurons_fire_as_no_clean_clip_makes_them(
    clips: Clips, surrogate: AudioModel, tmp_path: Path
) -> None:
    trigger = NeuronTrigger(duration_s=0.2, level_db=0.0, steps=60)
    ready = craft(trigger, clips, SHIFT, surrogate=surrogate, seed=0, cache=Cache(tmp_path))
    fresh = tones(6, seed=9)
    assert isinstance(surrogate, oto.models.TorchModel)
    layer = [m for m in surrogate.module.modules() if isinstance(m, torch.nn.Linear)][-1]
    pull = layer.weight[1].numpy()
    chosen = np.argsort(pull)[-4:]
    clean, triggered, noisy = (
        activations(surrogate, heard).features
        for heard in (
            fresh,
            trigger_all(fresh, ready, SHIFT, 1),
            trigger_all(fresh, oto.triggers.NoiseBlend(level_db=0.0), SHIFT, 1),
        )
    )
    assert clean is not None
    assert triggered is not None
    assert noisy is not None
    assert triggered[:, chosen].mean() > 4 * clean[:, chosen].mean()
    assert triggered[:, chosen].mean() > noisy[:, chosen].mean()


def test_the_same_arguments_find_the_same_file(
    clips: Clips, surrogate: AudioModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger, cache = UniversalPerturbation(steps=3), Cache(tmp_path / "one")
    first = craft(trigger, clips, SHIFT, surrogate=surrogate, seed=0, cache=cache)
    assert isinstance(first, UniversalPerturbation)
    assert first.path is not None
    elsewhere = craft(
        trigger, clips, SHIFT, surrogate=surrogate, seed=0, cache=Cache(tmp_path / "two")
    )
    assert isinstance(elsewhere, UniversalPerturbation)
    assert elsewhere.path is not None
    assert Path(first.path).read_bytes() == Path(elsewhere.path).read_bytes()
    monkeypatch.setattr(Aim, "batches", None)  # another step of optimisation would fail
    assert craft(trigger, clips, SHIFT, surrogate=surrogate, seed=0, cache=cache) == first


def test_another_seed_or_goal_is_another_file(
    clips: Clips, surrogate: AudioModel, tmp_path: Path
) -> None:
    made = {
        craft(
            UniversalPerturbation(steps=1),
            clips,
            AllToOne(target),
            surrogate=surrogate,
            seed=seed,
            cache=Cache(tmp_path),
        )
        for target, seed in (("b", 0), ("b", 1), ("c", 0))
    }
    assert len(made) == 3


def test_parts_are_crafted_and_others_left_alone(
    clips: Clips, surrogate: AudioModel, tmp_path: Path
) -> None:
    stack = Stack((Tone(), UniversalPerturbation(steps=1)))
    ready = craft(stack, clips, SHIFT, surrogate=surrogate, seed=0, cache=Cache(tmp_path))
    assert isinstance(ready, Stack)
    assert ready.parts[0] == Tone()
    assert isinstance(ready.parts[1], UniversalPerturbation)
    assert ready.parts[1].path is not None
    assert craft(ready, clips, SHIFT, seed=0) is not stack
    assert craft(Tone(), clips, SHIFT, seed=0) == Tone()


def test_a_goal_of_any_wrong_class_lowers_the_true_one(
    clips: Clips, surrogate: AudioModel, tmp_path: Path
) -> None:
    trigger = UniversalPerturbation(level_db=-5.0, steps=40)
    ready = craft(trigger, clips, Untargeted(), surrogate=surrogate, seed=0, cache=Cache(tmp_path))
    fresh = tones(6, seed=9)
    triggered = trigger_all(fresh, ready, Untargeted(), 1)
    wrong = activations(surrogate, triggered).predicted != triggered.labels
    assert wrong.mean() > 0.5


def test_a_shift_that_moves_nothing_is_refused(clips: Clips, surrogate: AudioModel) -> None:
    only = clips.subset(np.flatnonzero(clips.labels == 1))
    with pytest.raises(PoisonError, match="all-to-one moves none of the 20 clips to craft with"):
        craft(FlowMur(), only, SHIFT, surrogate=surrogate, seed=0)


def test_a_model_without_gradients_is_refused(clips: Clips) -> None:
    deaf = FunctionModel(
        lambda w: np.zeros((len(w), 6), np.float32), Hearing(clips.classes, RATE_HZ, LENGTH)
    )
    with pytest.raises(NotApplicable, match="FunctionModel has none; give a PyTorch model"):
        craft(FlowMur(), clips, SHIFT, surrogate=deaf, seed=0)


def test_the_neuron_trigger_wants_a_linear_layer(clips: Clips) -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv1d(1, 6, 9, 4), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
    )
    model = oto.models.TorchModel(module, Hearing(clips.classes, RATE_HZ, LENGTH))
    with pytest.raises(NotApplicable, match=r"needs a PyTorch model with an nn\.Linear layer"):
        craft(NeuronTrigger(), clips, SHIFT, surrogate=model, seed=0)
