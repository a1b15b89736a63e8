"""What some findings support together: a verdict, the accused classes, the flagged clips."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from jaxtyping import Float

from otoscope.calibrate import (
    benjamini_hochberg,
    cauchy_combination,
    conformal_p_values,
    within_class_scale,
)
from otoscope.clips import Clips
from otoscope.detect import Scores, View
from otoscope.evidence import ClipFinding, Evidence, Outcome, Verdict

CERTAIN = 0.2
"""BACKDOORED is said at this share of the false-alarm level, SUSPICIOUS at the level itself."""

NOBODY = -1


@dataclass(frozen=True, eq=False)
class Finding:
    """One detector's raw scores, and its evidence once calibrated."""

    evidence: Evidence
    scores: Scores | None = None


def conclude(
    view: View,
    findings: Sequence[Finding],
    false_alarm_level: float = 0.05,
    false_discovery_rate: float = 0.1,
) -> Verdict:
    """The verdict that some findings support, without what only ``audit`` knows."""
    names = view.model.hearing.classes
    combined = _combine_over_detectors(findings, names)
    p_value = None if combined is None else float(combined.min())
    accused: list[str] = []
    if combined is not None:
        accused = [names[k] for k in np.argsort(combined) if combined[k] <= false_alarm_level]
    flagged = []
    if view.clips is not None:
        flagged = _judge_clips(view.clips, findings, accused, false_discovery_rate)
    return Verdict(
        verdict=_outcome(p_value, false_alarm_level),
        p_value=p_value,
        false_alarm_level=false_alarm_level,
        false_discovery_rate=false_discovery_rate,
        targets=accused,
        evidence=[f.evidence for f in findings],
        clips=flagged,
        not_tested=[
            f"{f.evidence.detector}: {f.evidence.reason}" for f in findings if f.evidence.reason
        ],
        versions=_versions(),
    )


def _combine_over_detectors(
    findings: Sequence[Finding], names: Sequence[str]
) -> Float[np.ndarray, "classes"] | None:
    """Per class, one p-value from all detectors that spoke; None when none did.

    A detector's class p-values already hold over all its classes, so the smallest combined one
    is a p-value for the model; taking the smallest after the combination, not before, asks the
    detectors to agree on the class.
    """
    spoke = [f.evidence for f in findings if f.evidence.class_p_values]
    if not spoke:
        return None
    p_values = np.array([[e.class_p_values.get(name, 1.0) for name in names] for e in spoke])
    return cauchy_combination(p_values, weights=[e.votes for e in spoke])


def _outcome(p_value: float | None, level: float) -> Outcome:
    if p_value is None or np.isnan(p_value):
        return Outcome.INCONCLUSIVE
    if p_value > level:
        return Outcome.NO_EVIDENCE
    return Outcome.BACKDOORED if p_value <= CERTAIN * level else Outcome.SUSPICIOUS


def _judge_clips(
    clips: Clips, findings: Sequence[Finding], accused: Sequence[str], rate: float
) -> list[ClipFinding]:
    """A p-value for every recording, and a flag for those of the accused classes that stand out.

    The clips of a class are judged by the detector that is surest of it. The reference of a clip's
    conformal p-value is every clip outside the accused classes (outside the parts that lie apart,
    where every class is accused), each measured on the scale of its own class unless the scores are
    alike. A recording that was cut into windows takes its smallest p-value times their number.
    """
    suspect = np.isin(clips.labels, [clips.classes.index(name) for name in accused])
    p_values, apart = np.ones(len(clips)), np.ones(len(clips), dtype=bool)
    judges = np.array([_surest(findings, name) for name in clips.classes])[clips.labels]
    for number in set(judges.tolist()) - {NOBODY}:
        told, own = findings[number].scores, judges == number
        assert told is not None
        assert told.clips is not None
        scores = told.clips if told.alike else within_class_scale(told.clips, clips.labels)
        others = ~suspect
        if not others.any() and told.part is not None:
            others = ~told.part  # with every class accused, what lies outside the parts
        if others.any():
            p_values[own] = conformal_p_values(scores[own], scores[others])
        if told.part is not None:
            apart[own] = told.part[own]
    flagged = np.zeros(len(clips), dtype=bool)
    flagged[suspect] = benjamini_hochberg(p_values[suspect], rate)
    flagged &= apart
    rows = []
    for members in windows(clips):
        p = min(1.0, float(p_values[members].min()) * len(members))
        path, label, start_s = clips[members[0]].recording
        rows.append(
            ClipFinding(
                path=path,
                label=label,
                start_s=start_s,
                score=float(-np.log10(p)),
                p_value=p,
                flagged=bool(flagged[members].any()),
            )
        )
    return rows


def _surest(findings: Sequence[Finding], name: str) -> int:
    """Which detector has the smallest p-value for a class, of all that score clips."""
    able = [
        (f.evidence.class_p_values[name], number)
        for number, f in enumerate(findings)
        if f.scores and f.scores.clips is not None and name in f.evidence.class_p_values
    ]
    return min(able)[1] if able else NOBODY


def windows(clips: Clips) -> list[list[int]]:
    """The indices of each recording's windows: one index each, unless clips were cut."""
    found: dict[tuple[str, str, float], list[int]] = {}
    for index, clip in enumerate(clips.items):
        found.setdefault(clip.recording, []).append(index)
    return list(found.values())


def _versions() -> dict[str, str]:
    names = ("otoscope", "torch", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
