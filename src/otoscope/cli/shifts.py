"""Label shifts as a command line gives them."""

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from otoscope.labels import LabelShift


def shift_of(text: str, classes: tuple[str, ...]) -> "LabelShift":
    """A label shift; a target that is not named is the first class, and told."""
    from otoscope.labels import LABEL_SHIFTS
    from otoscope.registry import build, parse

    wanted = parse(text)
    takes_target = "target" in {field.name for field in fields(LABEL_SHIFTS[wanted["name"]])}
    if takes_target and "target" not in wanted:
        wanted["target"] = classes[0]
        typer.echo(
            f'{wanted["name"]} names no target: "{classes[0]}", the first class, is taken', err=True
        )
    return build(LABEL_SHIFTS, wanted)
