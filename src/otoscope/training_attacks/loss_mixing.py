"""A second loss in the training code."""

from dataclasses import dataclass
from typing import ClassVar, Unpack

from otoscope.clips import Clips
from otoscope.labels import LabelShift
from otoscope.models import TorchModel
from otoscope.networks import Network
from otoscope.training import HowTrained, train
from otoscope.training_attacks.backdoor_task import BackdoorTask, Mixing
from otoscope.training_attacks.base import TrainingAttack
from otoscope.triggers import Trigger


@dataclass(frozen=True)
class LossMixing(TrainingAttack):
    """Every step learns the clean batch and triggered copies of ``backdoor_share`` of it.

    ``mixing`` says how the two losses are weighed. ``"fixed"``: the backdoor's counts ``weight``
    times the clean one's. ``"mgda"``: at each step the convex sum whose gradient is shortest, so
    that no step is bad for either (``weight`` is not used; two more backward passes a step).

    After Bagdasaryan and Shmatikov, *Blind Backdoors in Deep Learning Models* (2005.03823), where
    poisoned loss code does this without seeing the data. As in one of their published settings,
    each gradient is divided by its length and its loss before it is weighed, so that the task with
    the larger loss gets the larger part. Deviations: the triggered copies are part of the clean
    clips' batch, not one of their own; the epoch is chosen by both losses on held-out clips, which
    blind code cannot do; there is no third loss to evade a defence. The default of
    ``backdoor_share`` is ours: the shares in the published settings differ from task to task.
    """

    name: ClassVar[str] = "loss-mixing"
    mixing: Mixing = "mgda"
    backdoor_share: float = 0.5
    weight: float = 1.0

    def _check(self) -> None:
        self._require_share("backdoor_share")
        self._require(self.weight > 0, f"weight must be above 0, got {self.weight:g}")

    def run(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        hook = BackdoorTask(
            trigger, shift, share=self.backdoor_share, weight=self.weight, mixing=self.mixing
        )
        return train(network, clips, **how, hook=hook)
