"""Attacks on training. One file each; this table is how they are found by name."""

from otoscope.registry import Table
from otoscope.training_attacks.base import TrainingAttack
from otoscope.training_attacks.distillation import Distillation
from otoscope.training_attacks.fine_tune import FineTune
from otoscope.training_attacks.loss_mixing import LossMixing
from otoscope.training_attacks.prune_and_hide import PruneAndHide

TRAINING_ATTACKS: Table[TrainingAttack] = Table(
    "training attack",
    "otoscope.training_attacks",
    LossMixing,
    FineTune,
    PruneAndHide,
    Distillation,
)

__all__ = [
    "TRAINING_ATTACKS",
    "Distillation",
    "FineTune",
    "LossMixing",
    "PruneAndHide",
    "TrainingAttack",
]
