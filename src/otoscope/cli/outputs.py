"""Where a command writes: looked at before the work, so that none is lost and no input is."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer


def check_outputs(
    files: Mapping[str, Path | None],
    inputs: Iterable[Path | str | None] = (),
    *,
    folders: Mapping[str, Path | None] | None = None,
) -> None:
    """Refuse an output that is an input or another output, or that could not be written.

    ``files`` and ``folders`` are outputs by their option; ``inputs`` are what the command reads. Of
    a model the description beside it is an input, too.
    """
    written: dict[Path, str] = {}
    read = {path for given in inputs if given is not None for path in _with_card(Path(given))}
    for option, path in {**files, **(folders or {})}.items():
        if path is None:
            continue
        place = path.resolve()
        if place in read:
            raise typer.BadParameter(
                f"{option} would overwrite {path}, which is read; name another"
            )
        if place in written:
            raise typer.BadParameter(f"{option} and {written[place]} would both write {path}")
        written[place] = option
        if option in files and place.is_dir():
            raise typer.BadParameter(f"{option} is to be a file; {path} is a folder")
        # a folder may be there already, and all above either
        needed = [*place.parents] if option in files else [place, *place.parents]
        there = next(one for one in needed if one.exists())
        if not there.is_dir():
            raise typer.BadParameter(f"{option}: {path} cannot be made, since {there} is a file")


def json_text(figures: Any, *, lines: bool = True) -> str:
    """Figures as JSON, which has no NaN and no infinity: they become null.

    On ``lines`` of their own, else all on one line (JSONL).
    """
    return json.dumps(_finite(figures), indent=2 if lines else None, allow_nan=False) + "\n"


def _finite(figures: Any) -> Any:
    if isinstance(figures, Mapping):
        return {name: _finite(value) for name, value in figures.items()}
    if isinstance(figures, (list, tuple)):
        return [_finite(value) for value in figures]
    return None if isinstance(figures, float) and not math.isfinite(figures) else figures


def _with_card(path: Path) -> list[Path]:
    """A file that is read, and what describes it if it is a model."""
    from otoscope.intake import TORCH_ENDINGS

    model = path.suffix.lower() in {".safetensors", ".onnx", *TORCH_ENDINGS}
    card = [path.with_suffix(".json")] if model else []
    return [one.resolve() for one in (path, *card)]
