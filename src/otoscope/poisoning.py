"""Poison a data set: a trigger generator, a label shift, a rate and a seed.

The module is called ``poisoning`` because ``otoscope.poison`` is the function.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from otoscope import audio
from otoscope.clips import Clips
from otoscope.errors import PoisonError, SpecError
from otoscope.labels import LabelShift
from otoscope.manifests import Row, csv_text, write_csv
from otoscope.progress import track
from otoscope.registry import Spec, spec
from otoscope.triggers import Trigger

LEAST_CHANGE = 1 / 32_768
"""One step of 16-bit audio: a trigger that nowhere changes a sample by this much is none."""


@dataclass(frozen=True)
class Attack:
    """A trigger, a label shift and how much of the set they take.

    ``rate`` is the share of the whole set that is poisoned; ``cover_rate`` the share that carries
    the trigger under its true label (cover or regularisation clips: TaCT, 1908.00686; Adap-Blend
    and Adap-Patch, Qi et al., ICLR 2023), which hides the others in feature space.
    """

    trigger: Trigger
    shift: LabelShift
    rate: float
    cover_rate: float = 0.0

    @property
    def told(self) -> Spec:
        """As plain JSON values."""
        return {
            "trigger": spec(self.trigger),
            "labels": spec(self.shift),
            "rate": self.rate,
            "cover_rate": self.cover_rate,
        }


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A poisoned data set beside the truth about it.

    ``clips`` is the whole set in its old order; ``mask`` is true exactly where a clip's audio
    changed; ``cover`` where that clip kept its label to hide the others. ``attack_of`` is the
    number of the attack that changed a clip, -1 for none; ``originals`` is the set before.
    """

    clips: Clips
    cover: Bool[np.ndarray, "clips"]
    attack_of: Int[np.ndarray, "clips"]
    originals: Clips
    attacks: tuple[Attack, ...]
    seed: int

    @property
    def mask(self) -> Bool[np.ndarray, "clips"]:
        """True exactly where a clip's audio changed."""
        return self.attack_of >= 0

    @property
    def provenance(self) -> Spec:
        """How the set was made, as plain JSON values."""
        return {
            "attacks": [attack.told for attack in self.attacks],
            "seed": self.seed,
            "poisoned": int(self.mask.sum()),
            "cover": int(self.cover.sum()),
            "clips": len(self.mask),
            "originals_sha256": self.originals.sha256,
        }


def poison(
    clips: Clips,
    trigger: Trigger,
    shift: LabelShift,
    rate: float,
    seed: int,
    *,
    cover_rate: float = 0.0,
    preference: Float[np.ndarray, "clips"] | None = None,
) -> Poisoned:
    """Plant a backdoor in a copy of ``clips``; ``clips`` stays as it is.

    ``rate`` is the share of the whole set that is poisoned (0 < rate < 1); the clips are drawn by
    ``seed`` among those that the shift may move, those of highest ``preference`` first where it is
    given (see ``selection``). ``cover_rate`` is the share that carries the trigger under its true
    label (0 <= cover_rate < 1). Same seed, same bytes.

    Raises ``PoisonError`` when the rate asks for no clip or for more than may be poisoned, or when
    the trigger leaves a drawn clip unchanged; ``TriggerDoesNotFit`` when a clip is too short.
    """
    attack = Attack(trigger, shift, rate, cover_rate)
    return poison_all(clips, [attack], seed, preference=preference)


def poison_all(
    clips: Clips,
    attacks: Sequence[Attack],
    seed: int,
    *,
    preference: Float[np.ndarray, "clips"] | None = None,
) -> Poisoned:
    """Plant several backdoors side by side; no clip carries two of them.

    The parallel attack of Li et al., *Multi-Trigger Backdoor Attacks* (2401.15295): several
    triggers to one target or to many. (Its hybrid attack, all triggers in one clip, is the trigger
    ``stack``.) Arguments and errors as of ``poison``; an attack draws among the clips that those
    before it have left.
    """
    if not attacks:
        raise PoisonError("expected at least one attack, got none")
    if seed < 0:
        raise PoisonError(f"expected a seed of at least 0, got {seed}")
    if preference is not None and np.shape(preference) != (len(clips),):
        raise PoisonError(
            f"expected one preference per clip, {len(clips)}, got shape {np.shape(preference)}"
        )
    items = list(clips.items)
    attack_of = np.full(len(clips), -1)
    cover = np.zeros(len(clips), dtype=bool)
    for number, attack in enumerate(attacks):
        rng = np.random.default_rng((seed, number) if number else seed)
        free = attack_of < 0
        drawn = _drawn(clips, attack, free, rng, preference)
        attack_of[drawn] = number
        covered = _drawn_cover(clips, attack, attack_of < 0, rng)
        attack_of[covered], cover[covered] = number, True
        new_labels = attack.shift.relabel(clips.labels, clips.classes, rng)
        new_labels = np.where(cover, clips.labels, new_labels)
        trigger = attack.trigger.in_training()
        for index in sorted([*drawn.tolist(), *covered.tolist()]):
            samples = triggered(clips, trigger, index, seed)
            items[index] = clips.with_audio(index, samples, clips.classes[new_labels[index]])
    return Poisoned(
        replace(clips, items=tuple(items)), cover, attack_of, clips, tuple(attacks), seed
    )


def _drawn(
    clips: Clips,
    attack: Attack,
    free: Bool[np.ndarray, "clips"],
    rng: np.random.Generator,
    preference: Float[np.ndarray, "clips"] | None,
) -> Int[np.ndarray, "drawn"]:
    """The clips that get the trigger and the shift's label."""
    if not 0 < attack.rate < 1:
        raise PoisonError(f"expected a poison rate between 0 and 1, got {attack.rate}")
    wanted = round(attack.rate * len(clips))
    pool = np.flatnonzero(attack.shift.eligible(clips.labels, clips.classes) & free)
    if wanted == 0:
        raise PoisonError(
            f"a rate of {attack.rate} of {len(clips)} clips asks for no clip at all; "
            "choose a higher rate or bring more clips"
        )
    if wanted > len(pool):
        raise PoisonError(
            f"a rate of {attack.rate} asks for {wanted} of {len(clips)} clips, but "
            f"{attack.shift.name} may poison only {len(pool)} here; choose a rate below "
            f"{len(pool) / len(clips):.4g} or another label shift"
        )
    order = rng.permutation(pool)
    if preference is not None:
        order = order[np.argsort(-preference[order], kind="stable")]
    return order[:wanted]


def _drawn_cover(
    clips: Clips, attack: Attack, free: Bool[np.ndarray, "clips"], rng: np.random.Generator
) -> Int[np.ndarray, "drawn"]:
    """The clips that get the trigger and keep their label."""
    if not 0 <= attack.cover_rate < 1:
        raise PoisonError(f"expected a cover rate from 0 to below 1, got {attack.cover_rate}")
    wanted = round(attack.cover_rate * len(clips))
    pool = np.flatnonzero(attack.shift.coverable(clips.labels, clips.classes) & free)
    if wanted > len(pool):
        raise PoisonError(
            f"a cover rate of {attack.cover_rate} asks for {wanted} clips; {len(pool)} are left"
        )
    return rng.permutation(pool)[:wanted] if wanted else pool[:0]


def trigger_all(clips: Clips, trigger: Trigger, shift: LabelShift, seed: int) -> Clips:
    """Every attackable clip of a test set with the trigger, under its true label."""
    attackable = np.flatnonzero(shift.attackable(clips.labels, clips.classes))
    return triggered_at(clips, trigger, attackable.tolist(), clips.labels, seed)


def triggered_at(
    clips: Clips,
    trigger: Trigger,
    indices: Sequence[int],
    labels: Int[np.ndarray, "clips"],
    seed: int,
) -> Clips:
    """The clips at these indices with the trigger; ``labels`` holds every clip's label then."""
    items = tuple(
        clips.with_audio(i, triggered(clips, trigger, i, seed), clips.classes[labels[i]])
        for i in indices
    )
    return replace(clips, items=items)


def triggered(clips: Clips, trigger: Trigger, index: int, seed: int) -> Float32[np.ndarray, "time"]:
    """The samples of one clip with the trigger; the clip's path seeds the draw.

    Raises ``PoisonError`` when the trigger changed nothing that would outlast 16-bit audio.
    """
    before = clips.waveform(index)
    at = clips[index]
    named = np.frombuffer(f"{at.path}@{at.start_s}".encode(), dtype=np.uint8)
    after: np.ndarray = trigger.embed(before[None], clips.sample_rate, (seed, *named.tolist()))[0]
    if np.abs(after - np.clip(before, -1, 1)).max() < LEAST_CHANGE:
        raise PoisonError(
            f"{at.path}: trigger {trigger.name!r} left this clip as it was, to 16 bits; a poisoned "
            "clip must differ from its original; choose a louder trigger, or leave the clip out"
        )
    return after


def with_sound(clips: Clips, sound: Trigger, rows: Int[np.ndarray, "some"], seed: int) -> Clips:
    """The same clips; those of ``rows`` carry a sound, all under their own labels."""
    items = list(clips.items)
    for index in rows.tolist():
        heard = triggered(clips, sound, index, seed)
        items[index] = clips.with_audio(index, heard, clips[index].label)
    return replace(clips, items=tuple(items))


def save(poisoned: Poisoned, folder: Path) -> Path:
    """Write a poisoned set as a folder that stands by itself; returns its manifest's path.

    ``manifest.csv`` is what a victim would get. ``truth.csv`` (path, original label, poisoned, the
    original's path and where in it the clip starts, in seconds) and ``provenance.json`` are what
    only the attacker knows.

    Every recording, poisoned or not, is written in one form, so that neither name, order, folder
    nor file format gives a poisoned one away: 16 bits, mono, at the set's rate and length, FLAC if
    all originals are FLAC, else WAV, numbered in an order drawn by the seed. The folder appears
    whole or not at all; one that holds anything is refused with ``SpecError``.
    """
    folder = folder.resolve()  # a link stays a link
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SpecError(f"{folder} is there already and not an empty folder; choose another one")
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        rows = _save_clips(poisoned, draft)
        order = sorted(rows, key=lambda index: rows[index].path)
        write_csv(draft / "manifest.csv", [rows[index] for index in order])
        truth = [_truth(poisoned, index, rows[index]) for index in order]
        header = ["path", "original_label", "poisoned", "original", "original_start_s"]
        (draft / "truth.csv").write_text(csv_text([header, *truth]), encoding="utf-8")
        (draft / "provenance.json").write_text(json.dumps(poisoned.provenance, indent=2) + "\n")
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder / "manifest.csv"


def _save_clips(poisoned: Poisoned, folder: Path) -> dict[int, Row]:
    """Write every clip below ``folder``; its manifest row by its index."""
    clips = poisoned.clips
    flac = all(clip.path.lower().endswith(".flac") for clip in clips)
    # another stream than the one that drew what to poison, which would number those clips first
    order = np.random.default_rng((poisoned.seed, 1)).permutation(len(clips)).tolist()
    digits = len(str(len(clips)))
    rows = {}
    for number, index in enumerate(track(order, "writing the recordings", len(order))):
        clip, before = clips[index], poisoned.originals[index]
        path = f"{_folder_name(clip.label)}/{number:0{digits}d}.{'flac' if flac else 'wav'}"
        (folder / path).parent.mkdir(exist_ok=True)
        audio.write(folder / path, clips.waveform(index), clips.sample_rate)
        # where the label is the speaker, one that still names the old label would tell
        speaker = clip.label if clip.speaker == before.label else clip.speaker
        rows[index] = Row(path, clip.label, speaker, clip.split)
    return rows


def _folder_name(label: str) -> str:
    """A label as the name of a folder: one that cannot lead out of the folder around it."""
    return re.sub(r"[^\w-]+", "_", label)[:60]


def _truth(poisoned: Poisoned, index: int, row: Row) -> list[str]:
    before = poisoned.originals[index]
    original = (poisoned.originals.root / before.path).resolve()
    bad = str(int(poisoned.mask[index]))
    return [row.path, before.label, bad, str(original), f"{before.start_s:g}"]
