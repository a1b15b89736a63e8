"""What an audit says: evidence, findings on clips, and the verdict; JSON both ways.

There is no verdict "clean": the best outcome is ``NO_EVIDENCE``. A verdict has no truth value;
compare its ``outcome``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from otoscope.cache import write_atomically
from otoscope.clips import Clips

SCHEMA = 1
Level = Literal["data", "model", "input"]


class Outcome(StrEnum):
    """The four things an audit can say."""

    BACKDOORED = "BACKDOORED"
    SUSPICIOUS = "SUSPICIOUS"
    NO_EVIDENCE = "NO_EVIDENCE"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """What a command exits with: 0 no evidence, 1 backdoored or suspicious, 3 inconclusive."""
        return {"NO_EVIDENCE": 0, "INCONCLUSIVE": 3}.get(self.value, 1)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def readable(path: str) -> str:
    """A file name that is not valid UTF-8, with its odd bytes spelt out, as JSON requires."""
    return path.encode("utf-8", "backslashreplace").decode()


PathText = Annotated[str, BeforeValidator(readable)]


class Evidence(_Record):
    """One detector's calibrated finding.

    ``p_value`` answers for the whole audit of this detector (all classes together, under "no
    backdoor"); it is None, with a ``reason``, when the detector was inconclusive. ``target`` is the
    class it points at when it points at one. ``class_scores`` and ``class_p_values`` are by class
    name. ``forward_passes`` counts runs of the model over all the clips scanned. ``votes`` is how
    much it counts beside the other detectors (Cauchy rule, p-values above 0.5 taken as 0.5).
    """

    detector: str
    level: Level
    p_value: float | None = None
    target: str | None = None
    seconds: float = 0.0
    forward_passes: float = 0.0
    reason: str = ""
    calibration: str = ""
    spec: dict[str, Any] = Field(default_factory=dict)
    class_scores: dict[str, float] = Field(default_factory=dict)
    class_p_values: dict[str, float] = Field(default_factory=dict)
    votes: int = 1


class ClipFinding(_Record):
    """What the detectors say together of one clip.

    ``path`` is as in the manifest, ``start_s`` where in that file the clip begins. ``score`` is
    minus log10 of ``p_value``. ``flagged`` clips hold a share of false ones that is expected to
    stay under the verdict's ``false_discovery_rate``.
    """

    path: PathText
    label: str
    score: float
    p_value: float
    flagged: bool
    start_s: float = 0.0

    @property
    def name(self) -> str:
        """The path, and the start of a clip that is not at the beginning of its file."""
        return f"{self.path} from {self.start_s:g} s" if self.start_s else self.path


class SkippedClip(_Record):
    """A recording that could not be used, and why."""

    path: PathText
    reason: str


@dataclass(frozen=True, eq=False)
class Recovered:
    """A trigger rebuilt from the model, made audible.

    ``before`` and ``after`` are one clip without and with it, ``sound`` their difference, each
    shaped (time,) at ``sample_rate`` Hz. ``mask`` (mel bands, frames), in [0, 1], tells where it
    acts. ``success`` is the share of clips, held out of the search, that it sends to ``target``;
    ``proved_on`` tells what those clips are, ``what`` the change in words, where a detector can.
    """

    target: str
    before: Float[np.ndarray, "time"]
    after: Float[np.ndarray, "time"]
    sound: Float[np.ndarray, "time"]
    mask: Float[np.ndarray, "bands frames"]
    success: float
    sample_rate: int
    what: str = ""
    proved_on: str = "trusted clips"


@dataclass(frozen=True, eq=False)
class Exhibits:
    """What a report shows beside the numbers; kept in memory, never part of the JSON.

    ``clips`` are the clips in the order of ``Verdict.clips``; ``map`` places each in the plane of
    the two main directions of its activations.
    """

    clips: Clips | None = None
    map: Float[np.ndarray, "clips 2"] | None = None
    recovered: tuple[Recovered, ...] = field(default=())


class Verdict(_Record):
    """All evidence together, at a stated false-alarm level."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    outcome: Outcome = Field(alias="verdict")
    p_value: float | None
    false_alarm_level: float
    false_discovery_rate: float
    targets: list[str] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    clips: list[ClipFinding] = Field(default_factory=list)
    skipped: list[SkippedClip] = Field(default_factory=list)
    not_tested: list[str] = Field(default_factory=list)
    model_sha256: str | None = None
    data_sha256: str | None = None
    trusted_sha256: str | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0

    _exhibits: Exhibits = PrivateAttr(default_factory=Exhibits)

    def __bool__(self) -> bool:
        raise TypeError(
            "a verdict is neither true nor false; compare verdict.outcome, for example "
            "verdict.outcome is Outcome.NO_EVIDENCE"
        )

    def __str__(self) -> str:
        parts = [self.outcome.value]
        if self.targets:
            parts.append("target " + ", ".join(f'"{name}"' for name in self.targets))
        if self.clips:
            parts.append(f"{self.flagged_count} of {len(self.clips)} clips flagged")
        if self.p_value is not None:
            parts.append("p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}")
        return ", ".join(parts)

    @property
    def flagged_count(self) -> int:
        """How many clips are flagged."""
        return sum(clip.flagged for clip in self.clips)

    @property
    def exhibits(self) -> Exhibits:
        """Pictures and sounds in the making; empty for a verdict read from JSON."""
        return self._exhibits

    def with_exhibits(self, exhibits: Exhibits) -> "Verdict":
        """The same verdict carrying these exhibits."""
        copy = self.model_copy()
        copy._exhibits = exhibits
        return copy

    def to_json(self) -> str:
        """The verdict as JSON text, by the published schema."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the JSON whole or not at all."""
        write_atomically(Path(path), self.to_json())
        return Path(path)

    @staticmethod
    def from_json(text: str) -> "Verdict":
        """Read what ``to_json`` wrote; raises pydantic's ``ValidationError`` for anything else."""
        return Verdict.model_validate_json(text)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``Verdict.to_json``; a copy lies in ``otoscope/schemas``."""
    return Verdict.model_json_schema(by_alias=True, mode="serialization")
