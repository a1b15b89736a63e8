"""Repairs. One file each; this table is how they are found by name.

The package is called ``repairs`` because ``otoscope.repair`` is the function.
"""

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.evidence import Verdict
from otoscope.models import AudioModel
from otoscope.registry import Table
from otoscope.repairs.base import Repair
from otoscope.repairs.fine_tune import FineTune
from otoscope.repairs.retrain import Retrain

REPAIRS: Table[Repair] = Table("repair", "otoscope.repairs", Retrain, FineTune)


def repair(
    model: AudioModel,
    trusted: Clips,
    *,
    verdict: Verdict | None = None,
    method: Repair | None = None,
    seed: int = 0,
    cache: Cache | None = None,
) -> AudioModel:
    """A new model without the backdoor; prove it with ``risks``.

    By default it is trained again, where a verdict of this process flagged clips among those that
    it was given; else it is fine-tuned on the trusted clips. Raises ``NotApplicable`` for what the
    method lacks.
    """
    flagged = verdict is not None and verdict.exhibits.clips is not None and verdict.flagged_count
    chosen = method or (Retrain() if flagged else FineTune())
    return chosen.mend(model, trusted, verdict, seed=seed, cache=cache)


__all__ = ["REPAIRS", "FineTune", "Repair", "Retrain", "repair"]
