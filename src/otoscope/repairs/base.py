"""What a repair is: it returns a new model and never changes the one it was given."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.evidence import Verdict
from otoscope.models import AudioModel


@dataclass(frozen=True)
class Repair(ABC):
    """A frozen configuration with a ``name`` and ``mend``."""

    name: ClassVar[str]

    @abstractmethod
    def mend(
        self,
        model: AudioModel,
        trusted: Clips,
        verdict: Verdict | None,
        *,
        seed: int,
        cache: Cache | None = None,
    ) -> AudioModel:
        """A new model for the same classes; raises ``NotApplicable`` for what it lacks."""
