"""Go on training on trusted clips, each heard through another channel every time."""

from dataclasses import dataclass
from typing import ClassVar

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.detect.listening import taught
from otoscope.errors import NotApplicable
from otoscope.evidence import Verdict
from otoscope.models import AudioModel, TorchModel
from otoscope.models.torchscript import TorchScriptModel
from otoscope.registry import require
from otoscope.repairs.base import Repair


@dataclass(frozen=True)
class FineTune(Repair):
    """Fine-tuning of all layers on trusted clips, so varied that a trigger's cue is not needed.

    Goes on from the model's weights for about ``steps_per_class`` batches of 48 per class, at the
    recipe's full learning rate; the clips are varied and mixed as witnesses hear them
    (``listening.Varied``: random equaliser, noise floor, gaps in time and frequency, mixup).

    Fine-tuning is the oldest repair; with a small learning rate and no augmentation the backdoor
    outlives it (Liu et al., Fine-Pruning, 1805.12185). Nothing is pruned here and no trigger is
    searched; with ``varied=False`` it is the plain one, for comparison. Networks of ours vary what
    their front end gives, any other ``torch.nn.Module`` the waveform.
    """

    name: ClassVar[str] = "fine-tune"
    steps_per_class: int = 20
    varied: bool = True

    def __post_init__(self) -> None:
        require(
            self.steps_per_class >= 1,
            f"fine-tune.steps_per_class must be at least 1, got {self.steps_per_class}",
        )

    def mend(
        self,
        model: AudioModel,
        trusted: Clips,
        verdict: Verdict | None,
        *,
        seed: int,
        cache: Cache | None = None,
    ) -> AudioModel:
        """As of ``Repair``; raises ``NotApplicable`` also without trusted clips of every class."""
        hearing = model.hearing
        module = model.as_module() if isinstance(model, TorchScriptModel) else model
        if not isinstance(module, TorchModel):
            raise NotApplicable(
                "fine-tuning needs weights that can be trained, a torch.nn.Module; of "
                f"{type(model).__name__.removesuffix('Model')} there are none here; train again "
                "without the poisoned clips instead"
            )
        heard = trusted.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)
        unknown = sorted(set(hearing.classes) - {clip.label for clip in heard.items})
        if unknown:
            raise NotApplicable(
                f"there are no trusted clips of {', '.join(map(repr, unknown))}; fine-tuning "
                "would forget what no clip shows, so bring some of every class"
            )
        steps = self.steps_per_class * len(hearing.classes)
        mended = taught(
            heard,
            steps=steps,
            seed=seed,
            cache=cache,
            network=module,
            varied=self.varied,
        )
        return model.with_module(mended) if isinstance(model, TorchScriptModel) else mended
