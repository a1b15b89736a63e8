"""Train again without what the audit flagged."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import NotApplicable
from otoscope.evidence import Verdict
from otoscope.models import AudioModel, TorchModel
from otoscope.networks import CNN, network_of
from otoscope.repairs.base import Repair
from otoscope.training import train


@dataclass(frozen=True)
class Retrain(Repair):
    """The same network, trained from nothing on the audited clips that were not flagged.

    A network that is not one of ours is replaced by the small CNN. The bound of every data-level
    detector: as good as its flags.
    """

    name: ClassVar[str] = "retrain"

    def mend(
        self,
        model: AudioModel,
        trusted: Clips,
        verdict: Verdict | None,
        *,
        seed: int,
        cache: Cache | None = None,
    ) -> TorchModel:
        clips = verdict.exhibits.clips if verdict is not None else None
        if verdict is None or clips is None:
            raise NotApplicable(
                "retraining needs the audited clips; audit with data, in this process"
            )
        kept = clips.subset(np.array([not finding.flagged for finding in verdict.clips]))
        form = model.hearing
        kept = kept.as_heard_by(form.sample_rate, form.length, form.classes)
        left = np.bincount(kept.labels, minlength=len(form.classes))
        if not left.all():
            raise NotApplicable(
                f"no clip of {form.classes[int(left.argmin())]!r} is left to train on; fine-tune "
                "the model on trusted clips instead"
            )
        return train(network_of(model) or CNN(), kept, seed=seed, cache=cache)
