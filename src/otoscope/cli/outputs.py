"""Where a command writes: looked at before the work, so that none is lost and no input is."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import typer


def check_outputs(
    outputs: Mapping[str, Path | None],
    inputs: Iterable[Path | str | None] = (),
    *,
    folders: Mapping[str, Path | None] | None = None,
) -> None:
    """Refuse an output that is an input, or that could not be written.

    ``outputs`` and ``folders`` are files and folders by their option; ``inputs`` are what the
    command reads. Of a model the description beside it is an input, too.
    """
    read = {path for given in inputs if given is not None for path in _with_card(Path(given))}
    for option, path in {**outputs, **(folders or {})}.items():
        if path is None:
            continue
        if path.resolve() in read:
            raise typer.BadParameter(
                f"{option} would overwrite {path}, which is read; name another"
            )
        if path.is_dir() and option in outputs:
            raise typer.BadParameter(f"{option} is to be a file; {path} is a folder")
        above = next(one for one in path.resolve().parents if one.exists())
        if not above.is_dir() or (path.is_file() and folders and option in folders):
            wrong = path if path.is_file() else above
            raise typer.BadParameter(f"{option}: {path} cannot be made, since {wrong} is a file")


def _with_card(path: Path) -> list[Path]:
    """A file that is read, and what describes it if it is a model."""
    card = [path.with_suffix(".json")] if path.suffix == ".safetensors" else []
    return [one.resolve() for one in (path, *card)]
