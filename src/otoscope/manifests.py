"""Lists of labelled recordings: what a folder, a CSV file or a JSONL file says there is.

Layouts read here:

- a folder with one sub-folder per class; with ``validation_list.txt`` and ``testing_list.txt`` it
  is read as Google Speech Commands (splits from the lists, speaker from the name before
  ``_nohash_``, ``_background_noise_`` left out);
- CSV with a header, and JSONL: ``path`` and ``label``, optional ``speaker``, ``split``. The NeMo
  names ``audio_filepath`` (path), ``command`` (label), ``offset`` and ``duration`` in seconds are
  understood.

Text is UTF-8, with or without a byte-order mark. A row that cannot be used is skipped with its
reason; a list that cannot be used raises ``ManifestError``.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from otoscope.cache import write_atomically
from otoscope.errors import ManifestError

AUDIO_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".opus"})
UNREAD_ENDINGS = frozenset({".m4a", ".aac", ".mp4", ".wma", ".webm", ".amr", ".sph", ".caf"})
"""Recordings in a form that is not read, which are counted; other files are no recordings."""

SPLIT_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SECONDS = ("offset", "duration")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled recording. ``path`` stays as written; ``duration_s`` 0 means up to the end."""

    path: str
    label: str
    speaker: str = ""
    split: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A recording that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """Rows, the folder that their paths start from, what was left out, and what was read."""

    root: Path
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...] = ()
    source: Path | None = None


def read_manifest(source: Path) -> Manifest:
    """List the labelled recordings of a folder, a ``.csv`` or a ``.jsonl`` file.

    Raises ``ManifestError`` when the source is missing, of no known layout or lists nothing usable.
    """
    if source.is_dir():
        root, rows = source, _folder(source)
    elif not source.exists():
        raise ManifestError(f"{source}: no such file or folder")
    elif source.suffix.lower() == ".csv":
        root, rows = source.parent, _csv(source)
    elif source.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        root, rows = source.parent, _jsonl(source)
    else:
        raise ManifestError(
            f"{source}: expected a folder with one sub-folder per class, a .csv or a .jsonl file"
        )
    kept: dict[tuple[str, float], Row] = {}
    skipped: list[Skipped] = []
    for row in rows:
        if isinstance(row, Skipped):
            skipped.append(row)
            continue
        first = kept.setdefault((os.path.normpath(row.path), row.start_s), row)
        if first is not row:
            other = "" if first.label == row.label else f" with another label, {row.label!r}"
            skipped.append(
                Skipped(row.path, f"listed again{other}; the first, {first.label!r}, is kept")
            )
    if not kept:
        reasons = "".join(f"\n  {s.path}: {s.reason}" for s in skipped[:3])
        if not skipped and source.is_dir():
            reasons = (
                "; expected a folder for each class, with recordings in it "
                f"({', '.join(sorted(AUDIO_ENDINGS))})"
            )
        raise ManifestError(f"{source}: lists no usable recording{reasons}")
    return Manifest(root, tuple(kept.values()), tuple(skipped), source)


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV with the columns path, label, speaker, split.

    When a row means a part of its file, the columns offset and duration (in seconds) follow.
    """
    rows = list(rows)
    names = ["path", "label", "speaker", "split"]
    if any(row.start_s or row.duration_s for row in rows):
        names += ["offset", "duration"]
    cells = ([r.path, r.label, r.speaker, r.split, r.start_s, r.duration_s] for r in rows)
    write_atomically(path, csv_text([names, *(line[: len(names)] for line in cells)]))


def csv_text(lines: Iterable[Iterable[Any]]) -> str:
    """Rows of cells as one CSV text with Unix line ends."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def _text(file: Path) -> str:
    """A text file's content; a byte-order mark is dropped, line ends become Unix ones."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{file}: expected UTF-8 text, got byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start}; save it as UTF-8"
        ) from None
    except OSError as error:
        raise ManifestError(f"{file}: cannot be opened ({error.strerror})") from None


def _lines(file: Path) -> Iterator[str]:
    """A text file line by line, as ``_text`` reads it."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            yield from lines
    except (UnicodeDecodeError, OSError):
        yield _text(file)  # raises, and knows the offset in the whole file


def _folder(folder: Path) -> Iterator[Row | Skipped]:
    listed: dict[str, tuple[str, str]] = {}
    for split, name in SPLIT_LISTS.items():
        if (folder / name).exists():
            lines = (line.strip() for line in _text(folder / name).split("\n"))
            listed |= {line: (split, name) for line in lines if line}
    missing = dict(listed)
    for file in sorted(_files(folder)):
        relative = file.relative_to(folder)
        path = relative.as_posix()
        if file.suffix.lower() not in AUDIO_ENDINGS:
            if file.suffix.lower() in UNREAD_ENDINGS:
                yield Skipped(path, f"{file.suffix} is not read; convert it to WAV or FLAC")
            continue
        missing.pop(path, None)
        if not _is_text(path):
            yield Skipped(ascii(path)[1:-1], "its name is not UTF-8; rename it")
        elif not file.is_file():
            yield Skipped(path, "is no file, or a link to nothing")
        elif len(relative.parts) == 1:
            yield Skipped(path, "lies beside the class folders, so it has no label")
        elif relative.parts[0] != "_background_noise_":
            speaker, nohash, _ = file.name.partition("_nohash_")
            yield Row(
                path,
                label=intern(relative.parts[0]),
                speaker=intern(speaker) if nohash else "",
                split=listed.get(path, ("train",))[0] if listed else "",
            )
    for path, (_, name) in missing.items():
        if (folder / path).parent.is_dir():  # a class that was left out as a whole is no news
            yield Skipped(path, f"is in {name}, but not in the folder")


def audio_files(folder: Path) -> list[Path]:
    """Every recording below a folder, in the order of their paths."""
    return [file for file in sorted(_files(folder)) if file.suffix.lower() in AUDIO_ENDINGS]


def _files(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All that lies below a folder and is no folder, but for hidden names; links are followed.

    Not those that lead back to a folder in ``above``, and no folder that cannot be opened.
    """
    known = folder.resolve()
    if known in above:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path), above | {known})
            else:
                yield Path(entry.path)


def _csv(file: Path) -> Iterator[Row | Skipped]:
    reader = csv.DictReader(_lines(file), strict=True)
    try:
        reader.fieldnames = names = [name.strip().lower() for name in reader.fieldnames or []]
        if not {"path", "audio_filepath"} & set(names) or not {"label", "command"} & set(names):
            raise ManifestError(
                f"{file}: expected a header with the columns path,label (and speaker, split if "
                f"known) and commas between them, got {','.join(names) or 'an empty file'}"
            )
        for fields in reader:
            yield _row(fields, f"{file.name}:{reader.line_num}")
    except csv.Error as error:
        raise ManifestError(f"{file}:{reader.line_num}: not readable as CSV ({error})") from None


def _jsonl(file: Path) -> Iterator[Row | Skipped]:
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line.rstrip("\n"))
        except (ValueError, RecursionError) as error:
            yield Skipped(
                f"{file.name}:{number}", f"is not JSON, one object a line ({_reason(error)})"
            )
            continue
        if isinstance(fields, dict):
            yield _row(fields, f"{file.name}:{number}")
        else:
            yield Skipped(f"{file.name}:{number}", "expected a JSON object with path and label")


def _is_text(name: str) -> bool:
    """Whether UTF-8 can say it, as a list or a digest has to."""
    return name.encode(errors="ignore").decode() == name


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _row(fields: dict[str, Any], where: str) -> Row | Skipped:
    def text(*names: str) -> str:
        found = (fields[name] for name in names if fields.get(name) is not None)
        return str(next(found, "")).strip()

    path, label = text("path", "audio_filepath"), text("label", "command")
    if not path:
        return Skipped(where, "has no path")
    if not label:
        return Skipped(path, f"has no label ({where})")
    if not (_is_text(path) and _is_text(label)):
        return Skipped(where, "its path or label is not UTF-8")
    try:
        start_s, duration_s = (float(given) if given else 0.0 for given in map(text, SECONDS))
    except ValueError:
        start_s = duration_s = math.nan
    if not (0 <= start_s < math.inf and 0 <= duration_s < math.inf):
        return Skipped(path, f"offset and duration must be seconds, 0 or more ({where})")
    speaker, split = text("speaker"), text("split")
    # names that come again and again are kept once
    return Row(path, intern(label), intern(speaker), intern(split), start_s, duration_s)
