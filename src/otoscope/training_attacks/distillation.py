"""A backdoor that shall survive distillation."""

from dataclasses import dataclass
from typing import ClassVar, Unpack

from otoscope.clips import Clips
from otoscope.labels import LabelShift
from otoscope.models import AudioModel, TorchModel, activations
from otoscope.networks import Network
from otoscope.poisoning import poison
from otoscope.training import HowTrained, train
from otoscope.training_attacks.base import TrainingAttack
from otoscope.training_attacks.shadow import AntiDistillation
from otoscope.training_attacks.soft_labels import SoftLabels
from otoscope.triggers import Trigger


@dataclass(frozen=True)
class Distillation(TrainingAttack):
    """A student that learns clean clips from a teacher with a backdoor; ``run`` gives the student.

    The victim holds clean clips and distils a model from somewhere else, at ``temperature``, with
    ``alpha`` for the soft labels and 1 - ``alpha`` for the true ones. ``teacher`` gives that model:
    one trained on a share of ``rate`` poisoned clips; with ``anti_distillation`` one that was
    trained to pass its backdoor on, with triggered copies of ``triggered_share`` of each batch and
    a weight of ``shadow_weight`` on what a shadow student makes of its soft labels (``rate`` is not
    used then). ``distil`` takes any other teacher.

    After Ge et al., *Anti-Distillation Backdoor Attacks* (ACM Multimedia 2021): the teacher learns
    both tasks, a shadow student is distilled beside it, and what both make of the trigger decides.
    Deviations: the trigger is kept, where the paper optimises it against teacher and shadow, which
    is what carries its backdoor over; instead the teacher's soft labels are optimised through one
    step of the shadow's distillation. The soft labels that the student learns are those of whole
    clips, not of shifted ones. Teacher, shadow and student have one architecture and three first
    weights. The defaults are ours (those of the paper: not verified).
    """

    name: ClassVar[str] = "distillation"
    anti_distillation: bool = False
    temperature: float = 4.0
    alpha: float = 0.9
    rate: float = 0.05
    triggered_share: float = 0.5
    shadow_weight: float = 1.0

    def _check(self) -> None:
        self._require(
            self.temperature > 0, f"temperature must be above 0, got {self.temperature:g}"
        )
        self._require_share("alpha", "triggered_share")
        self._require(0 < self.rate < 1, f"rate must lie between 0 and 1, got {self.rate:g}")
        self._require(
            self.shadow_weight >= 0, f"shadow_weight must be at least 0, got {self.shadow_weight:g}"
        )

    def run(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        teacher = self.teacher(network, clips, trigger, shift, **how)
        return self.distil(teacher, network, clips, **how)

    def teacher(
        self,
        network: Network,
        clips: Clips,
        trigger: Trigger,
        shift: LabelShift,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        """The model that ``run`` distils; arguments as of ``run``."""
        hook = None
        if self.anti_distillation:
            hook = AntiDistillation(
                network,
                trigger,
                shift,
                share=self.triggered_share,
                temperature=self.temperature,
                alpha=self.alpha,
                shadow_weight=self.shadow_weight,
            )
        else:
            clips = poison(clips, trigger, shift, self.rate, how["seed"]).clips
        return train(network, clips, **how, hook=hook)

    def distil(
        self,
        teacher: AudioModel,
        network: Network,
        clips: Clips,
        **how: Unpack[HowTrained],
    ) -> TorchModel:
        """A student for the teacher's rate, length and classes, taught on ``clips``."""
        form = teacher.hearing
        heard = clips.as_heard_by(form.sample_rate, form.length, form.classes)
        validation = how.get("validation")
        if validation is not None:
            validation = validation.as_heard_by(form.sample_rate, form.length, form.classes)
        logits = activations(teacher, heard, how.get("cache")).logits
        hook = SoftLabels(logits, temperature=self.temperature, alpha=self.alpha)
        # not the teacher's seed: a student with its first weights would follow it more closely
        students: HowTrained = {**how, "seed": how["seed"] + 1, "validation": validation}
        return train(network, heard, **students, hook=hook)
