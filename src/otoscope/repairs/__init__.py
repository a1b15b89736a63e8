"""Repairs. One file each; this table is how they are found by name.

The package is called ``repairs`` because ``otoscope.repair`` is the function.
"""

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.evidence import Verdict
from otoscope.models import AudioModel, TorchModel
from otoscope.registry import Table
from otoscope.repairs.base import Repair
from otoscope.repairs.retrain import Retrain

REPAIRS: Table[Repair] = Table("repair", "otoscope.repairs", Retrain)


def repair(
    model: AudioModel,
    trusted: Clips,
    *,
    verdict: Verdict,
    method: Repair | None = None,
    seed: int = 0,
    cache: Cache | None = None,
) -> TorchModel:
    """A new model without the backdoor that the verdict describes; prove it with ``risks``."""
    return (method or Retrain()).mend(model, trusted, verdict, seed=seed, cache=cache)


__all__ = ["REPAIRS", "Repair", "Retrain", "repair"]
