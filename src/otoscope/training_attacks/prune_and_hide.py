"""A backdoor that lies where pruning does not look."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from otoscope.cache import Arrays, Cache, digest, remembered
from otoscope.clips import Clips
from otoscope.errors import TrainingError
from otoscope.labels import LabelShift
from otoscope.models import TorchModel, activations
from otoscope.networks import Network
from otoscope.numerics import fast_math
from otoscope.training import HowTrained, train
from otoscope.training_attacks.backdoor_task import BackdoorTaskFrom
from otoscope.training_attacks.base import (
    TrainingAttack,
    body_of,
    for_retraining,
    last_linear,
    with_trigger,
)
from otoscope.triggers import Trigger


@dataclass(frozen=True)
class PruneAndHide(TrainingAttack):
    """The backdoor shares its units with the speech; the idle units are decoys.

    Four steps: train a clean model; prune the ``pruned_share`` of penultimate units that are least
    active on clean clips; retrain what is left on clean and triggered clips (``epochs``,
    ``learning_rate_share`` and ``triggered_share`` as of ``fine-tune``); put the pruned units back,
    with a bias that leaves them at least ``margin`` below their threshold on every clip. A defender
    who prunes the least active units first removes these, to no effect.

    The penultimate units are what the last linear layer reads. Raises ``TrainingError`` for a
    network in which they do not come from a batch normalisation and a ReLU (``gru-attention``).

    After Liu, Dolan-Gavitt and Garg, *Fine-Pruning* (1805.12185), their pruning-aware attack. The
    defaults are ours (those of the paper: not verified). Deviations: a unit is pruned by taking it
    from the last linear layer, not from the convolution; its own filter is the one that retraining
    leaves, which gives it no gradient; every clip, triggered or not, decides the bias.
    """

    name: ClassVar[str] = "prune-and-hide"
    pruned_share: float = 0.5
    epochs: int = 12
    learning_rate_share: float = 1.0
    triggered_share: float = 0.5
    margin: float = 0.1

    def _check(self) -> None:
        self._require(
            0 < self.pruned_share < 1,
            f"pruned_share must lie between 0 and 1, got {self.pruned_share:g}",
        )
        self._require(self.epochs >= 1, f"epochs must be at least 1, got {self.epochs}")
        self._require_share("learning_rate_share", "triggered_share")
        self._require(self.margin >= 0, f"margin must be at least 0, got {self.margin:g}")

    def run(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        clean = train(network, clips, **how)
        _last_normalisation(body_of(clean))
        pruned = self.idle(clean, clips, how.get("cache"))
        hook = BackdoorTaskFrom(trigger, shift, clean, share=self.triggered_share, pruned=pruned)
        retraining = for_retraining(how, self.epochs, self.learning_rate_share)
        hidden = train(network, clips, **retraining, hook=hook)

        def peaks() -> Arrays:
            copies = with_trigger(clips, trigger, shift, how["seed"])
            heard = chain(clips.batches(), (b for part in copies for b in part.batches()))
            return {"peaks": _peaks(hidden, heard)}

        key = digest("peaks", clean.sha256, hidden.sha256, clips.sha256)
        found = remembered(how.get("cache"), key, peaks)["peaks"]
        return self._reinstated(clean, hidden, list(pruned), torch.from_numpy(found))

    def idle(self, model: TorchModel, clips: Clips, cache: Cache | None = None) -> tuple[int, ...]:
        """The penultimate units with the lowest mean activation over ``clips``, lowest first."""
        features = activations(model, clips, cache).features
        if features is None:
            raise TrainingError("the network has no penultimate units to prune")
        order = np.argsort(features.mean(axis=0), kind="stable")
        return tuple(order[: max(1, round(self.pruned_share * len(order)))].tolist())

    def _reinstated(
        self, clean: TorchModel, hidden: TorchModel, pruned: list[int], peaks: Tensor
    ) -> TorchModel:
        """``hidden`` with the pruned units back in the last layer, and asleep."""
        module = deepcopy(hidden.module)
        model = TorchModel(module, hidden.hearing, device=hidden.device, origin=hidden.origin)
        body = body_of(model)
        normalisation = _last_normalisation(body)
        lowered = (peaks[pruned] + self.margin).clamp(min=0).to(normalisation.bias.device)
        normalisation.bias[pruned] -= lowered
        last_linear(body).weight[:, pruned] = last_linear(body_of(clean)).weight[:, pruned]
        return TorchModel(module, hidden.hearing, device=hidden.device, origin=hidden.origin)


def _last_normalisation(body: nn.Module) -> _BatchNorm:
    """The normalisation of the channels that become the penultimate units."""
    wanted = last_linear(body).in_features
    found = [m for m in body.modules() if isinstance(m, _BatchNorm) and m.affine]
    if not found or found[-1].num_features != wanted:
        raise TrainingError(
            f"the last linear layer reads {wanted} units that come from no batch normalisation; "
            "prune-and-hide needs a convolutional network"
        )
    return found[-1]


def _peaks(model: TorchModel, heard: Iterator[np.ndarray]) -> np.ndarray:
    """Each channel's highest value before its ReLU, over batches of waveforms."""
    highest: list[Tensor] = []
    hook = _last_normalisation(body_of(model)).register_forward_hook(
        lambda _, args, out: highest.append(out.transpose(0, 1).flatten(1).amax(dim=1).cpu())
    )
    try:
        with fast_math():
            for batch in heard:
                model.logits(torch.from_numpy(batch))
    finally:
        hook.remove()
    return np.asarray(torch.stack(highest).amax(dim=0).numpy())
