"""Label shifts as a command line gives them."""

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otoscope.labels import LabelShift


def shift_of(text: str, classes: tuple[str, ...]) -> "LabelShift":
    """A label shift; a target that is not named is the first class."""
    from otoscope.labels import LABEL_SHIFTS
    from otoscope.registry import build, parse

    wanted = parse(text)
    if "target" in {field.name for field in fields(LABEL_SHIFTS[wanted["name"]])}:
        wanted.setdefault("target", classes[0])
    return build(LABEL_SHIFTS, wanted)
