"""Labelled recordings, read when they are needed.

``Clips`` is a list of clips of one sample rate and one length. It holds where the recordings lie,
not their samples: some 420 bytes a clip. Every file is read once at loading, to
know that it can be read and what it contains; a broken one is left out, counted and listed.
"""

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, compress
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int

from otoscope import audio
from otoscope.cache import digest, digest_of
from otoscope.errors import AudioError, ManifestError, UnreadableAudio
from otoscope.manifests import Manifest, Row, Skipped, read_manifest
from otoscope.progress import track

Fit = Literal["pad", "crop", "windows"]
READERS = 4
AT_ONCE = 1024
DIGESTED_AT_ONCE = 16384


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled recording, or one window of it.

    ``path`` is as in the manifest; ``sha256`` is of the file's bytes, or of ``samples`` where the
    audio lives in memory (a poisoned clip) instead of in the file. ``start_s`` and ``duration_s``
    bound the part of the file that is meant (a duration of 0: up to the end). Of a window,
    ``cut_from_s`` is where the recording begins that it was cut from.
    """

    path: str
    label: str
    speaker: str = ""
    split: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0
    sha256: str = ""
    samples: np.ndarray | None = field(default=None, repr=False, compare=False)
    cut_from_s: float | None = None

    @property
    def recording(self) -> tuple[str, str, float]:
        """Path, label and start in seconds of the recording, the same for all of its windows."""
        begin_s = self.start_s if self.cut_from_s is None else self.cut_from_s
        return self.path, self.label, begin_s


@dataclass(frozen=True, eq=False)
class Clips(Sequence[Clip]):
    """Clips of one length (``length`` samples at ``sample_rate`` Hz), read lazily.

    ``classes`` lists the label names in the order of the numbers in ``labels``; ``skipped`` tells
    what was left out and why. Nothing changes a ``Clips``; the methods return new ones.
    """

    items: tuple[Clip, ...]
    root: Path
    sample_rate: int
    length: int
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    @staticmethod
    def load(
        source: str | Path,
        *,
        sample_rate: int | None = None,
        duration_s: float | None = None,
        fit: Fit = "crop",
        split: str | None = None,
    ) -> "Clips":
        """Load a folder per class, Google Speech Commands, a CSV or a JSONL manifest.

        ``sample_rate`` defaults to the most common one, ``duration_s`` to the 95th percentile of
        the recordings' durations. ``fit`` says how a recording gets that length: shorter ones are
        padded with zeros at their end; longer ones keep their middle (``"crop"``), are cut into
        consecutive windows that share the label (``"windows"``), or set the length of all
        (``"pad"``, without ``duration_s``). With ``split``, only its rows are loaded.

        Raises ``ManifestError`` when nothing usable is listed, and for a ``fit``, ``duration_s`` or
        ``sample_rate`` that is out of range or contradicts another.
        """
        manifest = read_manifest(Path(source))
        if split is not None:
            rows = tuple(row for row in manifest.rows if row.split == split)
            _require_split(rows, split, manifest.rows)
            manifest = replace(manifest, rows=rows)
        return Clips.of(manifest, sample_rate=sample_rate, duration_s=duration_s, fit=fit)

    @staticmethod
    def of(
        manifest: Manifest,
        *,
        sample_rate: int | None = None,
        duration_s: float | None = None,
        fit: Fit = "crop",
    ) -> "Clips":
        """The clips that a manifest lists; arguments and errors as in ``load``."""
        _check_form(sample_rate, duration_s, fit)
        found = _inspect(manifest.root, manifest.rows)
        rates = Counter(found.rates).most_common(1)
        rate = sample_rate or (rates[0][0] if rates else 0)
        seconds = np.array(found.seconds)
        whole = seconds * rate >= 1
        short = [clip.path for clip in compress(found.clips, ~whole)]
        broken = [Skipped(path, f"is shorter than one sample at {rate} Hz") for path in short]
        skipped = (*manifest.skipped, *found.broken, *broken)
        if not whole.any():
            listed = "".join(f"\n  {s.path}: {s.reason}" for s in skipped[:3])
            count, named = len(manifest.rows), manifest.source or manifest.root
            raise ManifestError(f"{named}: none of {count} recordings can be used{listed}")
        seconds, items = seconds[whole], tuple(compress(found.clips, whole))
        if duration_s is None:
            duration_s = float(seconds.max() if fit == "pad" else np.quantile(seconds, 0.95))
        if fit == "windows":
            pairs = zip(items, seconds.tolist(), strict=True)
            items = tuple(w for clip, lasts_s in pairs for w in _windows(clip, lasts_s, duration_s))
        return Clips(
            items,
            manifest.root,
            rate,
            max(1, round(duration_s * rate)),
            tuple(sorted({clip.label for clip in items})),
            skipped,
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]
        return self.items[index]

    @cached_property
    def labels(self) -> Int[np.ndarray, "clips"]:
        """Each clip's label as an index into ``classes``."""
        number = {name: k for k, name in enumerate(self.classes)}
        return np.array([number[clip.label] for clip in self.items], dtype=np.int64)

    @cached_property
    def sha256(self) -> str:
        """Digest of the audio, the labels and the form in which they are read."""
        size = DIGESTED_AT_ONCE
        parts = (
            [(c.sha256, c.start_s, c.duration_s, c.label) for c in self.items[at : at + size]]
            for at in range(0, max(1, len(self)), size)
        )
        return digest_of(chain(parts, [[self.sample_rate, self.length]]))

    @property
    def duration_s(self) -> float:
        """Length of every clip in seconds."""
        return self.length / self.sample_rate

    def waveform(self, index: int) -> Float32[np.ndarray, "time"]:
        """The samples of one clip, mono, at ``sample_rate``, ``length`` long.

        Raises ``UnreadableAudio`` when the file is no longer what it was when it was loaded.
        """
        clip = self.items[index]
        if clip.samples is not None:
            return clip.samples
        file = self.root / clip.path
        try:
            samples, rate = audio.read(file, self.sample_rate)
        except AudioError as error:
            came = str(error) if file.exists() else "the file is gone"
            raise UnreadableAudio(
                f"{file}: was readable when the clips were loaded, now: {came}; "
                "put the recording back, or load the clips again to leave it out"
            ) from None
        start = round(clip.start_s * rate)
        stop = start + round(clip.duration_s * rate) if clip.duration_s else None
        return audio.fit_length(samples[start:stop], self.length)

    def waveforms(self, indices: Sequence[int] | np.ndarray) -> Float32[np.ndarray, "batch 1 time"]:
        """The samples of some clips, read in parallel."""
        out = np.empty((len(indices), 1, self.length), dtype=np.float32)
        with ThreadPoolExecutor(READERS) as readers:
            for row, samples in enumerate(readers.map(self.waveform, indices)):
                out[row, 0] = samples
        return out

    def batches(self, size: int = 256) -> Iterator[Float32[np.ndarray, "batch 1 time"]]:
        """All clips in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.waveforms(range(start, min(start + size, len(self))))

    def subset(self, which: Int[np.ndarray, "some"] | Bool[np.ndarray, "clips"]) -> "Clips":
        """The clips at these indices, or where the mask is true; ``classes`` stays whole.

        Raises ``ManifestError`` for a mask that has not one entry per clip.
        """
        if np.asarray(which).dtype == bool and len(which) != len(self):
            raise ManifestError(f"expected a mask of {len(self)} entries, got {len(which)}")
        indices = np.flatnonzero(which) if np.asarray(which).dtype == bool else which
        return replace(self, items=tuple(self.items[i] for i in indices))

    def joined(self, other: "Clips") -> "Clips":
        """These clips and then ``other``'s.

        Raises ``ManifestError`` unless both have the same rate, length and classes.
        """
        forms = [(c.sample_rate, c.length, c.classes) for c in (self, other)]
        if forms[0] != forms[1]:
            raise ManifestError(
                f"expected clips of one form (sample rate, length, classes), got {forms[0]} and "
                f"{forms[1]}; bring them together with as_heard_by"
            )
        # below a relative root a path would be looked for below this set's root, too
        at = other.root.absolute()
        placed = (replace(clip, path=str(at / clip.path)) for clip in other.items)
        return replace(self, items=(*self.items, *placed), skipped=self.skipped + other.skipped)

    def split(self, name: str) -> "Clips":
        """The clips whose manifest row says this split; raises ``ManifestError`` if none does."""
        _require_split([clip for clip in self.items if clip.split == name], name, self.items)
        return self.subset(np.array([clip.split == name for clip in self.items], dtype=bool))

    def per_class(self, count: int, seed: int = 0) -> "Clips":
        """At most ``count`` clips of every class, drawn by ``seed``, in their order here."""
        rng = np.random.default_rng(seed)
        drawn = [
            rng.permutation(np.flatnonzero(self.labels == k))[:count]
            for k in range(len(self.classes))
        ]
        return self.subset(np.sort(np.concatenate(drawn)))

    def as_heard_by(self, sample_rate: int, length: int, classes: tuple[str, ...]) -> "Clips":
        """The same clips at a model's sample rate, length and order of classes.

        Raises ``ManifestError`` when a clip has a label that the model does not know.
        """
        unknown = sorted({clip.label for clip in self.items} - set(classes))
        if unknown:
            raise ManifestError(
                f"the clips have labels that the model does not know: {', '.join(unknown[:5])}; "
                f"the model knows: {', '.join(classes[:8])}{' ...' if len(classes) > 8 else ''}"
            )
        held = tuple(
            clip
            if clip.samples is None
            else replace(
                clip,
                samples=audio.fit_length(
                    audio.resample(clip.samples, self.sample_rate, sample_rate), length
                ),
            )
            for clip in self.items
        )
        return replace(self, items=held, sample_rate=sample_rate, length=length, classes=classes)

    def with_audio(self, index: int, samples: np.ndarray, label: str) -> Clip:
        """Clip ``index`` with other samples, held in memory, and another label.

        Raises ``AudioError`` unless ``samples`` are finite and shaped (``length``,).
        """
        held = np.array(samples, dtype=np.float32)
        if held.shape != (self.length,) or not np.isfinite(held).all():
            raise AudioError(f"expected {self.length} finite samples, got shape {held.shape}")
        return replace(self.items[index], label=label, samples=held, sha256=digest(held))


@dataclass(eq=False)
class _Inspected:
    """The recordings that can be read, and those that cannot.

    Of each of ``clips``, its own sample rate and how many seconds of it are meant.
    """

    clips: list[Clip] = field(default_factory=list)
    rates: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    broken: list[Skipped] = field(default_factory=list)


def _inspect(root: Path, rows: Sequence[Row]) -> _Inspected:
    """Read every file once; tell the good ones from the broken ones."""

    def look(row: Row) -> tuple[Clip, int, float] | Skipped:
        try:
            content = (root / row.path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            return Skipped(row.path, getattr(error, "strerror", None) or "cannot be opened")
        try:
            samples, rate = audio.read(content)
        except AudioError as error:
            return Skipped(row.path, str(error) if content else "is empty (0 bytes)")
        seconds = len(samples) / rate - row.start_s
        if seconds <= 0:
            return Skipped(row.path, f"its offset, {row.start_s} s, lies beyond its end")
        sha = hashlib.sha256(content).hexdigest()
        clip = Clip(row.path, row.label, row.speaker, row.split, row.start_s, row.duration_s, sha)
        return clip, rate, min(seconds, row.duration_s or seconds)

    found = _Inspected()
    with ThreadPoolExecutor(READERS) as readers:
        # not all at once: a promise of a clip takes more memory than the clip
        starts = range(0, len(rows), AT_ONCE)
        looked = (one for at in starts for one in readers.map(look, rows[at : at + AT_ONCE]))
        for one in track(looked, "reading recordings", len(rows)):
            if isinstance(one, Skipped):
                found.broken.append(one)
                continue
            clip, rate, seconds = one
            found.clips.append(clip)
            found.rates.append(rate)
            found.seconds.append(seconds)
    return found


def _windows(clip: Clip, seconds: float, duration_s: float) -> Iterator[Clip]:
    """Consecutive windows of a clip; a last piece shorter than half a window is left."""
    count = max(1, int(seconds / duration_s + 0.5))
    for number in range(count):
        start = number * duration_s
        yield replace(
            clip,
            start_s=clip.start_s + start,
            duration_s=min(duration_s, seconds - start),
            cut_from_s=clip.start_s,
        )


def _check_form(sample_rate: int | None, duration_s: float | None, fit: str) -> None:
    if fit not in get_args(Fit):
        raise ManifestError(f"expected fit to be one of {', '.join(get_args(Fit))}, got {fit!r}")
    if fit == "pad" and duration_s is not None:
        raise ManifestError('fit "pad" takes the longest recording; leave duration_s out')
    if duration_s is not None and not 0 < duration_s < math.inf:
        raise ManifestError(f"expected a duration_s above 0, got {duration_s}")
    if sample_rate is not None and sample_rate <= 0:
        raise ManifestError(f"expected a sample rate above 0 Hz, got {sample_rate}")


def _require_split(found: Sequence[Any], name: str, among: Iterable[Row | Clip]) -> None:
    if not found:
        known = ", ".join(sorted({one.split or "(none)" for one in among}))
        raise ManifestError(f"no recording has split {name!r}; there are: {known}")
