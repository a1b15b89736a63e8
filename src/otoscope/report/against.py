"""The verdict held against the truth, where the truth is known."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from otoscope.clips import Clips
from otoscope.errors import AudioError
from otoscope.evidence import Verdict
from otoscope.likeness import likeness
from otoscope.metrics import auroc, tpr_at_fpr, wilson_interval
from otoscope.report import figures
from otoscope.report.embed import Sounds, picture
from otoscope.report.sections import Scene, by_p_value
from otoscope.report.spectra import find_region, signed_db
from otoscope.report.truth import Origin, Truth
from otoscope.report.wording import percent, quoted

EXAMPLES = 3
COMPARED = 12
"""So many poisoned clips tell what the true trigger is."""


@dataclass(frozen=True, eq=False)
class AgainstTruth:
    """Rows of (measure, value) and a few poisoned clips beside their originals.

    ``poisoned`` is true for every poisoned clip; ``note`` tells what could not be compared.
    """

    rows: list[tuple[str, str]]
    scenes: list[Scene]
    poisoned: Bool[np.ndarray, "clips"]
    note: str = ""


def against_truth(verdict: Verdict, truth: Truth) -> AgainstTruth:
    """Measure the findings on the clips that the truth knows."""
    origins = [truth.origin(f.path, f.label, f.start_s) for f in verdict.clips]
    known = np.array([origin is not None for origin in origins], dtype=bool)
    poisoned = np.array([o is not None and o.poisoned for o in origins], dtype=bool)
    missing = int((~known).sum())
    note = f"The truth does not list {missing:,} of {len(known):,} clips." if missing else ""
    if not known.any():
        note = note or "The verdict speaks of no clips, so there is nothing to compare."
        return AgainstTruth([], [], poisoned, note)
    rows = _rows(verdict, poisoned, known)
    if truth.planted:
        rows.insert(0, ("planted", truth.planted))
    rows += _likenesses(verdict, origins)
    return AgainstTruth(rows, _scenes(verdict, origins, poisoned), poisoned, note)


def _rows(verdict: Verdict, poisoned: np.ndarray, known: np.ndarray) -> list[tuple[str, str]]:
    flagged = np.array([f.flagged for f in verdict.clips], dtype=bool)
    scores = np.array([f.score for f in verdict.clips])[known]
    bad, labels = poisoned[known], [f.label for f in verdict.clips]
    serves = Counter(label for label, odd in zip(labels, poisoned, strict=True) if odd)
    accused = quoted(verdict.targets) or "none"
    rows = [
        ("poisoned clips", f"{bad.sum():,} of {known.sum():,}"),
        (
            "class they are labelled, most often",
            f"{quoted([serves.most_common(1)[0][0]]) if serves else 'none'} (accused: {accused})",
        ),
        ("poisoned clips that are flagged", _share(flagged, poisoned)),
        ("clean clips that are flagged", _share(flagged, known & ~poisoned)),
        (
            "flagged clips that are clean",
            f"{_share(~poisoned, known & flagged)}; expected: up to "
            f"{percent(verdict.false_discovery_rate)}",
        ),
        ("AUROC of the clips' scores", f"{auroc(scores, bad):.3f}"),
        ("poisoned clips found at 1 % false alarms", f"{tpr_at_fpr(scores, bad):.3f}"),
    ]
    return [(name, value.replace("nan", "undefined: one kind of clip")) for name, value in rows]


def _likenesses(verdict: Verdict, origins: list[Origin | None]) -> list[tuple[str, str]]:
    """How like each recovered trigger is to what was done to the clips that have its class."""
    rows = []
    for one in verdict.exhibits.recovered:
        true = _true_sounds(verdict, origins, one.target)
        found = [likeness(one.sound, sound, one.sample_rate) for sound in true]
        if found:
            correlation = np.median([each.correlation for each in found])
            intersection = np.median([each.intersection for each in found])
            told = (
                f"correlation {correlation:.2f}, spectrogram intersection {intersection:.2f} "
                f"(of 1; medians over {len(found)} poisoned clips)"
            )
            rows.append(
                (f"recovered trigger towards {quoted([one.target])} and the true one", told)
            )
    return rows


def _true_sounds(
    verdict: Verdict, origins: list[Origin | None], label: str
) -> list[Float[np.ndarray, "time"]]:
    """The changes of some poisoned clips with this label, shaped (time,)."""
    clips, sounds = verdict.exhibits.clips, []
    if clips is None:
        return []
    for index, origin in enumerate(origins):
        if origin is None or not origin.poisoned or verdict.clips[index].label != label:
            continue
        try:
            after = clips.waveform(index)
            sounds.append(after - origin.samples(after, clips.sample_rate))
        except AudioError:
            continue
        if len(sounds) == COMPARED:
            break
    return sounds


def _share(found: np.ndarray, among: np.ndarray) -> str:
    hits, total = int((found & among).sum()), int(among.sum())
    if not total:
        return "none to count"
    low, high = wilson_interval(hits, total)
    return (
        f"{hits:,} of {total:,} ({percent(hits / total)}; "
        f"95 % interval {percent(low)} to {percent(high)})"
    )


def _scenes(verdict: Verdict, origins: list[Origin | None], poisoned: np.ndarray) -> list[Scene]:
    """The first poisoned clips by p-value, flagged or missed, beside their originals."""
    clips = verdict.exhibits.clips
    if clips is None:
        return []
    sounds, scenes = Sounds(), []
    for index in [i for i in by_p_value(verdict.clips) if poisoned[i]][:EXAMPLES]:
        origin = origins[index]
        if origin is not None:
            scenes.append(_scene(verdict, clips, index, origin, sounds))
    return [scene for scene in scenes if scene is not None]


def _scene(
    verdict: Verdict, clips: Clips, index: int, origin: Origin, sounds: Sounds
) -> Scene | None:
    finding, rate = verdict.clips[index], clips.sample_rate
    try:
        after = clips.waveform(index)
        before = origin.samples(after, rate)
    except AudioError:
        return None
    region = find_region(before, after, rate)
    where = f"{region}, {signed_db(region.level_db)} re clip" if region else "no difference"
    found = "flagged" if finding.flagged else "missed"
    relabelled = (
        f"labelled {quoted([finding.label])}, truly {quoted([origin.label])}"
        if finding.label != origin.label
        else f"labelled {quoted([finding.label])}, as it was"
    )
    return Scene(
        f"{finding.name} ({found})",
        f"{relabelled}. What was added or changed: {where}.",
        picture(
            figures.compare(before, after, rate, names=("original", "poisoned")),
            f"Original and poisoned clip compared: {where}.",
        ),
        [
            sounds.player("original", before, rate),
            sounds.player("poisoned", after, rate),
            sounds.louder("the difference alone", after - before, rate),
        ],
    )
