"""What an attacker knows of a poisoned set, from memory or from ``truth.csv``."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from otoscope import audio
from otoscope.clips import Clips
from otoscope.errors import AudioError, ManifestError, UnreadableAudio
from otoscope.poisoning import Poisoned
from otoscope.registry import Spec, spec

COLUMNS = ("path", "original_label", "poisoned", "original")

Samples = Float32[np.ndarray, "time"]


@dataclass(frozen=True, eq=False)
class Origin:
    """Where one clip comes from. ``samples`` reads the original at a rate, cut like another clip.

    Called with that clip's samples and its rate in Hz; raises ``AudioError``.
    """

    label: str
    poisoned: bool
    samples: Callable[[Samples, int], Samples]


@dataclass(frozen=True, eq=False)
class Truth:
    """Origins by path, label and start in the file, in seconds.

    The label is empty and the start 0 where the path alone names a clip.

    ``planted`` tells in plain values what was planted, where that is known.
    """

    origins: Mapping[tuple[str, str, float], Origin]
    planted: str = ""

    @staticmethod
    def of(source: "Truth | Poisoned") -> "Truth":
        """The truth about a poisoned set; a ``Truth`` stays itself."""
        return source if isinstance(source, Truth) else _of_poisoned(source)

    def origin(self, path: str, label: str, start_s: float = 0.0) -> Origin | None:
        """Where this clip comes from; None when the truth does not list it."""
        return self.origins.get((path, label, start_s)) or self.origins.get((path, "", 0.0))


def read_truth(truth_csv: Path) -> Truth:
    """Read what ``poisoning.save`` wrote; raises ``ManifestError`` for anything else."""
    try:
        text = truth_csv.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{truth_csv}: cannot be opened ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{truth_csv}: expected UTF-8 text; save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    origins: dict[tuple[str, str, float], Origin] = {}
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ManifestError(
                f"{truth_csv}: expected the columns {','.join(COLUMNS)}, {','.join(missing)} is "
                "missing; give the truth.csv of a poisoned set"
            )
        for row in reader:
            where = f"{truth_csv}:{reader.line_num}"
            origins[(row["path"], "", 0.0)] = _origin(row, where, truth_csv)
    except csv.Error as error:
        raise ManifestError(
            f"{truth_csv}:{reader.line_num}: not readable as CSV ({error})"
        ) from None
    return Truth(origins)


def _origin(row: dict[str, str | None], where: str, truth_csv: Path) -> Origin:
    poisoned, start = row["poisoned"], row.get("original_start_s") or "0"
    if poisoned not in ("0", "1"):
        raise ManifestError(f"{where}: expected poisoned to be 0 or 1, got {poisoned!r}")
    try:
        start_s = float(start)
    except ValueError:
        raise ManifestError(
            f"{where}: expected original_start_s in seconds, got {start!r}"
        ) from None
    original = truth_csv.parent / (row["original"] or "")
    return Origin(row["original_label"] or "", poisoned == "1", partial(_cut, original, start_s))


def _cut(file: Path, start_s: float, like: Samples, sample_rate: int) -> Samples:
    """The part of an original that a clip was made from.

    A truth does not say whether a longer recording was cropped to its middle or cut into windows;
    the part that is nearer to the clip is the one.
    """
    try:
        whole, _ = audio.read(file, sample_rate)
    except UnreadableAudio as error:
        raise UnreadableAudio(f"{file}: {error if file.exists() else 'the file is gone'}") from None
    rest = whole[round(start_s * sample_rate) :]
    if not len(rest):
        raise UnreadableAudio(f"{file}: its start, {start_s} s, lies beyond its end")
    parts = [audio.fit_length(rest, len(like)), audio.fit_length(rest[: len(like)], len(like))]
    return min(parts, key=lambda part: float(np.square(part - like).mean()))


def _of_poisoned(poisoned: Poisoned) -> Truth:
    """Windows of one recording that share a label count as one clip, as in a verdict."""
    origins: dict[tuple[str, str, float], Origin] = {}
    for index, clip in enumerate(poisoned.clips.items):
        bad, key = bool(poisoned.mask[index]), clip.recording
        first = origins.get(key)
        origins[key] = Origin(
            first.label if first else poisoned.originals[index].label,
            bad or (first is not None and first.poisoned),
            first.samples if first else partial(_original, poisoned.originals, index),
        )
    made = "; and ".join(
        f"trigger {_told(spec(attack.trigger))}; labels {_told(spec(attack.shift))}"
        for attack in poisoned.attacks
    )
    return Truth(origins, made)


def _original(originals: Clips, index: int, like: Samples, sample_rate: int) -> Samples:
    samples = audio.resample(originals.waveform(index), originals.sample_rate, sample_rate)
    if not len(samples):
        raise AudioError(f"{originals[index].path}: too short at {sample_rate} Hz")
    return audio.fit_length(samples, len(like))


def _told(described: Spec) -> str:
    """A spec in one line: "tone (frequency_hz 3000, level_db -20)"."""
    settings = ", ".join(f"{k} {value_text(v)}" for k, v in described.items() if k != "name")
    return f"{described['name']} ({settings})" if settings else str(described["name"])


def value_text(value: Any) -> str:
    """A number, a text, a spec, or several of them."""
    if isinstance(value, list):
        return " + ".join(map(value_text, value))
    if isinstance(value, dict):
        return _told(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
