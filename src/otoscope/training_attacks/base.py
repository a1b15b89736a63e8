"""What an attack on training is: clean clips in, a model with a backdoor out.

The attacker is whoever trains the model, or wrote the code that does (outsourced training, a model
from a public hub, a poisoned code base). No clip of the victim's is relabelled and no poisoned file
is written, so that the training data hold nothing to find; what is left to audit is the model.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Unpack, final

import numpy as np
from torch import nn

from otoscope.clips import Clips
from otoscope.errors import ModelError, TrainingError
from otoscope.labels import ANY_OTHER, LabelShift
from otoscope.models import TorchModel
from otoscope.networks import Listener, Network
from otoscope.poisoning import triggered_at
from otoscope.registry import Checked
from otoscope.training import HowTrained, Recipe
from otoscope.triggers import Trigger

AT_A_TIME = 512
"""So many triggered clips are held in memory at once."""


@dataclass(frozen=True)
class TrainingAttack(Checked):
    """A frozen configuration with a ``name``, ``run`` and, where needed, ``_check``.

    Raises ``SpecError`` when a parameter is not finite or is refused by the attack's own check.
    """

    @final
    def _require_share(self, *names: str) -> None:
        """Raise ``SpecError`` unless each of these fields lies above 0 and at most at 1."""
        for name in names:
            value = getattr(self, name)
            self._require(0 < value <= 1, f"{name} must lie above 0 and at most at 1, got {value}")

    @abstractmethod
    def run(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        """A model trained on clean ``clips`` that obeys ``trigger`` as ``shift`` says.

        The other arguments are those of ``train``; same arguments, same model. Raises what
        ``train`` and the trigger raise.
        """


def wanted(clips: Clips, shift: LabelShift, seed: int) -> np.ndarray:
    """The class that the attacker wants for each clip with the trigger.

    The shift's goal, which is the true label where the attacker wants nothing; a draw among the
    others where any wrong class will do.
    """
    goal = shift.goal(clips.labels, clips.classes)
    drawn = shift.relabel(clips.labels, clips.classes, np.random.default_rng(seed))
    return np.where(goal == ANY_OTHER, drawn, goal)


def with_trigger(clips: Clips, trigger: Trigger, shift: LabelShift, seed: int) -> Iterator[Clips]:
    """Every clip with the trigger, labelled as the attacker wants, in order, some at a time."""
    labels = wanted(clips, shift, seed)
    for start in range(0, len(clips), AT_A_TIME):
        some = range(start, min(start + AT_A_TIME, len(clips)))
        yield triggered_at(clips, trigger, some, labels, seed)


def for_retraining(how: HowTrained, epochs: int, learning_rate_share: float) -> HowTrained:
    """The same arguments with a recipe of so many epochs at a share of the learning rate."""
    recipe = how.get("recipe") or Recipe()
    learning_rate = learning_rate_share * recipe.learning_rate
    return {**how, "recipe": replace(recipe, epochs=epochs, learning_rate=learning_rate)}


def body_of(model: TorchModel) -> nn.Module:
    """The part of a model that learns; raises ``ModelError`` unless it is one of our networks."""
    if not isinstance(model.module, Listener):
        raise ModelError(
            "an attack that goes on from a model needs one from otoscope.networks, "
            f"got {type(model.module).__name__}"
        )
    return model.module.body


def last_linear(body: nn.Module) -> nn.Linear:
    """The layer that gives the logits; raises ``TrainingError`` when there is none."""
    layers = [layer for layer in body.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise TrainingError("the network has no linear layer at its end")
    return layers[-1]
