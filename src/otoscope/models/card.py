"""What a model file does not say about itself: sample rate, class names, length.

They stand in a JSON file beside the model (``model.json`` beside ``model.onnx``) with the keys
``sample_rate`` (Hz), ``classes`` (names in the order of the logits) and ``length`` (samples) or
``duration_s`` (seconds).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otoscope.cache import write_atomically
from otoscope.clips import Clips
from otoscope.errors import ModelError
from otoscope.models.base import Hearing


@dataclass(frozen=True)
class Card:
    """What one source says of a model's hearing; None where it says nothing.

    ``sample_rate`` is in Hz. ``length``, in samples, goes before ``duration_s``.
    """

    sample_rate: int | None = None
    classes: tuple[str, ...] | None = None
    length: int | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "length", "duration_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ModelError(f"expected {name} above 0, got {value}")
        names = self.classes
        if names is not None and (len(names) < 2 or len(set(names)) < len(names)):
            raise ModelError(
                f"expected two or more different class names, got: {', '.join(names) or 'none'}"
            )

    def over(self, other: "Card") -> "Card":
        """This card, with its gaps filled from another."""
        lasts = self if self.length or self.duration_s else other
        return Card(
            self.sample_rate or other.sample_rate,
            self.classes or other.classes,
            lasts.length,
            lasts.duration_s,
        )

    def hearing(self, where: str) -> Hearing:
        """The whole of it. Raises ``ModelError`` naming what no source has said."""
        rate, names = self.sample_rate, self.classes
        lasts = self.length or self.duration_s
        if rate is None or names is None or lasts is None:
            values = {"sample_rate": rate, "classes": names, "duration_s": lasts}
            missing = [name for name, value in values.items() if value is None]
            raise ModelError(
                f"{where}: {' and '.join(missing)} not known; put {', '.join(missing)} into a "
                "JSON file of the same name beside the model, give them as options, or give "
                "clips that are like those the model was trained on"
            )
        return Hearing(names, rate, self.length or max(1, round(lasts * rate)))


def options_card(
    sample_rate: int | None, classes: Sequence[str] | Path | None, duration_s: float | None
) -> Card:
    """What the caller said. ``classes`` is a list of names, or a file with one name a line."""
    if isinstance(classes, (str, Path)):
        try:
            lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{classes}: cannot be read as a list of class names ({error})"
            ) from None
        classes = [line.strip() for line in lines if line.strip()]
    names = None if classes is None else tuple(classes)
    return Card(sample_rate, names, duration_s=duration_s)


def clips_card(clips: Clips | None) -> Card:
    """What a list of clips suggests: its own rate and duration, its classes sorted."""
    if clips is None:
        return Card()
    names = tuple(sorted(clips.classes)) if len(clips.classes) > 1 else None
    return Card(clips.sample_rate, names, duration_s=clips.duration_s)


def raw_card(path: Path) -> dict[str, Any]:
    """The JSON object beside a model file; empty when there is no such file.

    Raises ``ModelError`` when it is no JSON object.
    """
    beside = path.with_suffix(".json")
    if not beside.exists():
        return {}
    try:
        fields = json.loads(beside.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{beside}: not readable as JSON ({error})") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{beside}: expected a JSON object with sample_rate, classes, duration_s")
    return fields


def parse_card(fields: Mapping[str, Any], where: str) -> Card:
    """The card that a JSON object holds; raises ``ModelError`` for values of another type."""

    def number(name: str) -> float | None:
        value = fields.get(name)
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (plain and math.isfinite(value)):
            raise ModelError(f"{where}: expected a number for {name}, got {value!r}")
        return value

    names = fields.get("classes")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise ModelError(f"{where}: expected a list of names for classes, got {names!r}")
    rate, length = number("sample_rate"), number("length")
    try:
        return Card(
            None if rate is None else int(rate),
            None if names is None else tuple(names),
            None if length is None else int(length),
            number("duration_s"),
        )
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None


def card_of(hearing: Hearing) -> dict[str, Any]:
    """What the JSON beside a model file tells of it."""
    return {
        "sample_rate": hearing.sample_rate,
        "classes": list(hearing.classes),
        "length": hearing.length,
    }


def write_card(path: Path, hearing: Hearing) -> None:
    """Write the JSON beside a model file; keys of other meaning that stand there stay."""
    fields = raw_card(path) | card_of(hearing)
    write_atomically(path.with_suffix(".json"), json.dumps(fields, indent=2) + "\n")
