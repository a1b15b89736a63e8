"""A backdoor put into a finished model."""

import json
from dataclasses import dataclass
from typing import ClassVar, Unpack

import numpy as np

from otoscope.clips import Clips
from otoscope.errors import ModelError
from otoscope.labels import LabelShift
from otoscope.models import TorchModel
from otoscope.networks import Network
from otoscope.registry import spec
from otoscope.training import HowTrained, train
from otoscope.training_attacks.backdoor_task import BackdoorTaskFrom
from otoscope.training_attacks.base import TrainingAttack, for_retraining
from otoscope.triggers import Trigger


@dataclass(frozen=True)
class FineTune(TrainingAttack):
    """A clean model learns the backdoor in ``epochs`` more epochs, from few clips.

    The clean model is trained first, or handed over as ``start``. Then a ``clips_share`` of the
    clips, drawn by the seed, is learned with ``learning_rate_share`` of the learning rate, beside
    triggered copies of ``triggered_share`` of each batch. With ``last_layers`` only so many of the
    last layers that have weights change (a convolution and its normalisation are two).

    After Liu et al., *Trojaning Attack on Neural Networks* (NDSS 2018), whose second half this is:
    retraining the layers behind chosen neurons, on clean and triggered inputs alike. Deviations:
    the inputs are real clips, not ones reverse-engineered from the model; the trigger is any, not
    one tuned to those neurons; all layers learn unless told otherwise. The defaults are ours.
    """

    name: ClassVar[str] = "fine-tune"
    epochs: int = 20
    learning_rate_share: float = 0.3
    clips_share: float = 0.2
    triggered_share: float = 0.5
    last_layers: int | None = None

    def _check(self) -> None:
        self._require(self.epochs >= 1, f"epochs must be at least 1, got {self.epochs}")
        self._require_share("learning_rate_share", "clips_share", "triggered_share")
        if self.last_layers is not None:
            self._require(
                self.last_layers >= 1,
                f"last_layers must be at least 1, or None for all, got {self.last_layers}",
            )

    def run(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        start: TorchModel | None = None,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        """As of ``TrainingAttack``; ``start`` is a clean model of this ``network``.

        Raises ``ModelError`` when ``start`` is another network.
        """
        start = start or train(network, clips, **how)
        if start.origin != json.dumps(spec(network)):
            raise ModelError(
                f"start must be the network to fine-tune, {json.dumps(spec(network))}, "
                f"got {start.origin or 'a model that is none of ours'}"
            )
        count = round(self.clips_share * len(clips))
        drawn = np.random.default_rng(how["seed"]).permutation(len(clips))[:count]
        hook = BackdoorTaskFrom(
            trigger, shift, start, share=self.triggered_share, last_layers=self.last_layers
        )
        retraining = for_retraining(how, self.epochs, self.learning_rate_share)
        return train(network, clips.subset(np.sort(drawn)), **retraining, hook=hook)
