"""Poison a data set: a trigger generator, a label shift, a rate and a seed.

The module is called ``poisoning`` because ``otoscope.poison`` is the function.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from otoscope import audio
from otoscope.clips import Clip, Clips
from otoscope.errors import PoisonError
from otoscope.labels import LabelShift
from otoscope.manifests import Row, csv_text, write_csv
from otoscope.registry import Spec, spec
from otoscope.triggers import Trigger


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A poisoned data set beside the truth about it.

    ``clips`` is the whole set in its old order; ``mask`` is true exactly where a clip's audio
    changed; ``originals`` is the set before.
    """

    clips: Clips
    mask: Bool[np.ndarray, "clips"]
    originals: Clips
    trigger: Trigger
    shift: LabelShift
    rate: float
    seed: int

    @property
    def provenance(self) -> Spec:
        """How the set was made, as plain JSON values."""
        return {
            "trigger": spec(self.trigger),
            "labels": spec(self.shift),
            "rate": self.rate,
            "seed": self.seed,
            "poisoned": int(self.mask.sum()),
            "clips": len(self.mask),
            "originals_sha256": self.originals.sha256,
        }


def poison(clips: Clips, trigger: Trigger, shift: LabelShift, rate: float, seed: int) -> Poisoned:
    """Plant a backdoor in a copy of ``clips``; ``clips`` stays as it is.

    ``rate`` is the share of the whole set that is poisoned (0 < rate < 1); the clips are drawn by
    ``seed`` among those that the shift may move. Same seed, same bytes.

    Raises ``PoisonError`` when the rate asks for no clip or for more than may be poisoned, or when
    the trigger leaves a drawn clip unchanged; ``TriggerDoesNotFit`` when a clip is too short.
    """
    if not 0 < rate < 1:
        raise PoisonError(f"expected a poison rate between 0 and 1, got {rate}")
    wanted = round(rate * len(clips))
    pool = np.flatnonzero(shift.eligible(clips.labels, clips.classes))
    if wanted == 0:
        raise PoisonError(f"a rate of {rate} of {len(clips)} clips asks for no clip at all")
    if wanted > len(pool):
        raise PoisonError(
            f"a rate of {rate} asks for {wanted} of {len(clips)} clips, but {shift.name} may "
            f"poison only {len(pool)} here; choose a rate of at most {len(pool) / len(clips):.4f}"
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(pool)[:wanted])
    new_labels = shift.relabel(clips.labels, clips.classes)
    items = list(clips.items)
    for index in drawn:
        samples = triggered(clips, trigger, int(index), seed)
        items[index] = clips.with_audio(int(index), samples, clips.classes[new_labels[index]])
    mask = np.zeros(len(clips), dtype=bool)
    mask[drawn] = True
    return Poisoned(replace(clips, items=tuple(items)), mask, clips, trigger, shift, rate, seed)


def trigger_all(
    clips: Clips, trigger: Trigger, shift: LabelShift, seed: int
) -> tuple[Clips, Int[np.ndarray, "clips"]]:
    """Every attackable clip of a test set with the trigger, and the class the attacker wants.

    Labels stay the true ones; clips already in their goal class are left out.
    """
    indices = np.flatnonzero(shift.attackable(clips.labels, clips.classes))
    items = tuple(
        clips.with_audio(int(i), triggered(clips, trigger, int(i), seed), clips[i].label)
        for i in indices
    )
    goal = shift.goal(clips.labels, clips.classes)[indices]
    return replace(clips, items=items), goal


def triggered(clips: Clips, trigger: Trigger, index: int, seed: int) -> np.ndarray:
    """The samples of one clip with the trigger, shaped (time,); the clip's path seeds the draw.

    Raises ``PoisonError`` when the trigger changed nothing.
    """
    before = clips.waveform(index)
    at = clips[index]
    named = np.frombuffer(f"{at.path}@{at.start_s}".encode(), dtype=np.uint8)
    after = trigger.embed(before[None], clips.sample_rate, (seed, *named.tolist()))[0]
    if np.array_equal(before, after):
        raise PoisonError(
            f"{at.path}: trigger {trigger.name!r} left this clip as it was; "
            "a poisoned clip must differ from its original"
        )
    return after


def save(poisoned: Poisoned, folder: Path) -> Path:
    """Write a poisoned set as a folder that stands by itself; returns its manifest's path.

    ``manifest.csv`` is what a victim would get. ``truth.csv`` (path, original label, poisoned, the
    original's path) and ``provenance.json`` are what only the attacker knows. Unpoisoned
    recordings are copied byte for byte; poisoned ones are written as 16 bits, in the original's format
    where that is WAV or FLAC, so that neither name nor folder gives them away. The folder appears whole or
    not at all; an existing one is refused with ``PoisonError``.
    """
    if folder.exists() and any(folder.iterdir()):
        raise PoisonError(f"{folder} already holds files; choose another --out")
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        rows = [_save_clip(poisoned, index, draft) for index in range(len(poisoned.clips))]
        write_csv(draft / "manifest.csv", rows)
        truth = [["path", "original_label", "poisoned", "original"]]
        for row, before, bad in zip(rows, poisoned.originals.items, poisoned.mask, strict=True):
            original = (poisoned.originals.root / before.path).resolve()
            truth.append([row.path, before.label, str(int(bad)), str(original)])
        (draft / "truth.csv").write_text(csv_text(truth))
        (draft / "provenance.json").write_text(json.dumps(poisoned.provenance, indent=2) + "\n")
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder / "manifest.csv"


def _save_clip(poisoned: Poisoned, index: int, folder: Path) -> Row:
    """Write one clip below ``folder`` and return its manifest row."""
    before: Clip = poisoned.originals[index]
    clip: Clip = poisoned.clips[index]
    source = Path(before.path)
    window = f"@{before.start_s:g}" if before.start_s else ""
    whole = not (before.start_s or before.duration_s or clip.samples is not None)
    suffix = source.suffix if whole or source.suffix in (".wav", ".flac") else ".wav"
    relative = Path(clip.label) / f"{source.stem}{window}{suffix}"
    if (folder / relative).exists():
        relative = relative.with_name(f"{index}-{relative.name}")
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    if whole:
        shutil.copyfile(poisoned.originals.root / before.path, folder / relative)
    else:
        samples = poisoned.clips.waveform(index)
        audio.write(folder / relative, samples, poisoned.clips.sample_rate)
    return Row(relative.as_posix(), clip.label, clip.speaker, clip.split)
