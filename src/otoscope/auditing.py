"""The audit: run what can be run on what is at hand, and let the evidence speak as one verdict.

The module is called ``auditing`` because ``otoscope.audit`` is the function.
"""

import time
from collections.abc import Sequence

import numpy as np

from otoscope.cache import Cache, at_hand
from otoscope.calibrate import FEWEST_REFERENCES
from otoscope.calibrating import calibrated
from otoscope.clips import Clips
from otoscope.concluding import Finding, conclude, windows
from otoscope.detect import (
    DEFAULT,
    DETECTORS,
    OF_A_DELIVERED_MODEL,
    WITH_REFERENCES,
    WITHOUT_FEATURES,
    Detector,
    IndependentWitness,
    TriggerInversion,
    View,
)
from otoscope.detect.own_network import OWN_SEED, probe
from otoscope.errors import ManifestError, NotApplicable
from otoscope.evidence import Evidence, Exhibits, SkippedClip, Verdict
from otoscope.intake import check_hearing
from otoscope.manifests import Skipped
from otoscope.models import AudioModel, activations
from otoscope.progress import track
from otoscope.references import train_references
from otoscope.registry import build, require, spec


def audit(
    model: AudioModel | None,
    clips: Clips | None = None,
    *,
    trusted: Clips | None = None,
    detectors: Sequence[Detector] | None = None,
    seed: int = 0,
    false_alarm_level: float = 0.05,
    false_discovery_rate: float = 0.1,
    references: int = 0,
    cache: Cache | None = None,
) -> Verdict:
    """Audit a model, the clips it was trained on, or both; ``trusted`` clips are known to be good.

    Without a model, a probe (the small CNN) is trained on the clips. ``detectors`` defaults to
    those that ``detect.DEFAULT`` names, for model and clips together also
    ``detect.OF_A_DELIVERED_MODEL``, with references also ``detect.WITH_REFERENCES``, for a model
    without features also ``detect.WITHOUT_FEATURES``. Every detector's class scores become p-values
    that hold over all classes; the p-values of one class are combined over the detectors (Cauchy,
    by the detectors' votes); the smallest over the classes is the verdict's: SUSPICIOUS at or below
    ``false_alarm_level``, BACKDOORED at or below a fifth of it. Clips of the accused classes are
    flagged at ``false_discovery_rate``. ``references`` is how many clean models to train on the
    trusted clips (8 to 32), with which model-level detectors compare the model instead of with its
    own classes.

    Raises ``SpecError`` for rates or references out of range, or where only detectors of a model
    are named and none is given, ``ManifestError`` when there is nothing to audit or fewer than two
    classes, and ``ModelMismatch`` when the model is at chance on the trusted clips.
    """
    for name, rate in (
        ("false-alarm level", false_alarm_level),
        ("false-discovery rate", false_discovery_rate),
    ):
        require(0 < rate < 1, f"expected a {name} in (0, 1), such as 0.05, got {rate}")
    require(
        not references or references >= FEWEST_REFERENCES,
        f"expected at least {FEWEST_REFERENCES} references, or 0, got {references}",
    )
    started = time.monotonic()
    with at_hand(cache) as kept:  # two witnesses learn from the same clips
        view = look(model, clips, trusted=trusted, seed=seed, references=references, cache=kept)
        chosen = detectors
        if chosen is None:
            chosen = [build(DETECTORS, name) for name in by_default(view)]
        asked = [d for d in chosen if model is not None or d.level == "data"]
        require(bool(asked), "the detectors that were named look at a delivered model; give one")
        findings = [scan(d, view) for d in track(asked, "running detectors", len(asked))]
        verdict = conclude(view, findings, false_alarm_level, false_discovery_rate)
        return verdict.model_copy(
            update={
                "skipped": [
                    SkippedClip(path=s.path, reason=s.reason)
                    for s in (*_skipped(clips), *_skipped(trusted))
                ],
                "not_tested": [
                    *_not_given(view, findings, trusted),
                    *(_without_model(d) for d in detectors or () if d not in asked),
                    *verdict.not_tested,
                ],
                "model_sha256": (model.sha256 or None) if model else None,
                "data_sha256": clips.sha256 if clips else None,
                "trusted_sha256": trusted.sha256 if trusted else None,
                "seeds": _seeds(view, findings),
                "seconds": round(time.monotonic() - started, 3),
            }
        ).with_exhibits(_exhibits(view, findings, verdict.targets))


def _seeds(view: View, findings: Sequence[Finding]) -> dict[str, int]:
    """The audit's, and those by which it trained networks of its own on the clips."""
    seeds = {"audit": view.seed} | ({} if view.delivered else {"probe": view.seed})
    if any(f.evidence.detector == IndependentWitness.name and f.scores for f in findings):
        seeds["own network"] = OWN_SEED + view.seed
    return seeds


def by_default(view: View) -> tuple[str, ...]:
    """The detectors of an audit that is not told which to run.

    With nothing but the model none searches: how often babble makes trigger inversion accuse a
    clean model is not known.
    """
    deaf = view.clips is not None and view.features is None
    alone = view.clips is None and view.trusted is None
    return (
        *(name for name in DEFAULT if not (alone and name == TriggerInversion.name)),
        *(OF_A_DELIVERED_MODEL if view.delivered and view.clips is not None else ()),
        *(WITHOUT_FEATURES if deaf else ()),
        *(WITH_REFERENCES if view.references else ()),
    )


def look(
    model: AudioModel | None,
    clips: Clips | None,
    *,
    trusted: Clips | None = None,
    seed: int = 0,
    references: int = 0,
    cache: Cache | None = None,
) -> View:
    """Bring model and clips together: a probe where no model is, one forward pass over each.

    Raises ``ManifestError`` for ``references`` without trusted clips to train them on.
    """
    if model is not None:
        listener = model
    elif clips is not None:
        listener = probe(clips, seed, cache)
    else:
        raise ManifestError("there is nothing to audit; give a model, clips, or both")
    heard, known = _as_heard(listener, clips), _as_heard(listener, trusted)
    if model is not None and known is not None:
        check_hearing(model, known)
    if references and known is None:
        raise ManifestError("reference models are trained on trusted clips, and there are none")
    return View(
        model=listener,
        seed=seed,
        clips=heard,
        seen=activations(listener, heard, cache) if heard else None,
        trusted=known,
        trusted_seen=activations(listener, known, cache) if known else None,
        cache=cache,
        references=train_references(listener, known, references, cache=cache)
        if references and known
        else (),
        delivered=model is not None,
    )


def _as_heard(model: AudioModel, clips: Clips | None) -> Clips | None:
    if clips is None:
        return None
    if len(set(clips.labels.tolist())) < 2:
        raise ManifestError(
            f"all {len(clips)} clips are labelled {clips[0].label!r}; "
            "an audit needs clips of at least two classes"
        )
    hearing = model.hearing
    return clips.as_heard_by(hearing.sample_rate, hearing.length, hearing.classes)


def scan(detector: Detector, view: View) -> Finding:
    """Score and calibrate one detector; what it lacks makes it inconclusive."""
    started = time.monotonic()
    blank = Evidence(
        detector=detector.name, level=detector.level, spec=spec(detector), votes=detector.votes
    )
    try:
        scores = detector.score(view)
        held_up = calibrated(detector, view, scores)
    except NotApplicable as reason:
        seconds = round(time.monotonic() - started, 3)
        return Finding(blank.model_copy(update={"reason": str(reason), "seconds": seconds}))
    names, scored, p_values = view.model.hearing.classes, held_up.scored, held_up.p_values
    surest = np.lexsort((-held_up.scores, p_values))[0]
    found = {
        "p_value": float(p_values[surest]),
        "target": names[scored[surest]],
        "seconds": round(time.monotonic() - started, 3),
        "forward_passes": scores.forward_passes + (detector.level == "data"),
        "calibration": held_up.rests_on,
        "class_scores": {names[k]: float(x) for k, x in zip(scored, held_up.scores, strict=True)},
        "class_p_values": {names[k]: float(p) for k, p in zip(scored, p_values, strict=True)},
    }
    return Finding(blank.model_copy(update=found), scores)


def _without_model(detector: Detector) -> str:
    return f"{detector.name}: it looks at a delivered model, and none was given"


def _skipped(clips: Clips | None) -> Sequence[Skipped]:
    return clips.skipped if clips is not None else ()


def _not_given(view: View, findings: Sequence[Finding], trusted: Clips | None) -> list[str]:
    """In plain words, what this audit could not look at with the input that it got."""
    told = []
    if not view.delivered:
        told.append("the delivered model: none was given, a probe was trained on the clips instead")
    elif view.clips is not None and not any(
        f.evidence.detector == IndependentWitness.name for f in findings
    ):
        told.append(
            "poison that a training hides from its model: the clips were looked at through the "
            f"delivered one only; add {IndependentWitness.name}, or audit the clips alone"
        )
    if view.clips is None:
        told.append("the training data: none was given, so no clip could be named")
    if trusted is None:
        told.append("anything that needs clips known to be good: none were given")
    spoke = any(f.evidence.p_value is not None for f in findings)
    if view.clips is None and trusted is None and not spoke:
        told.append(
            "made-up speech: with nothing but the model, name a search, such as probing; it is "
            "compared with clean models of our own data"
        )
    return told


def _exhibits(view: View, findings: Sequence[Finding], accused: Sequence[str]) -> Exhibits:
    shown, plane = None, None
    if view.clips is not None:
        firsts = np.array([members[0] for members in windows(view.clips)])
        shown = view.clips.subset(firsts)
        if view.features is not None:
            centred = view.features - view.features.mean(axis=0)
            _, _, directions = np.linalg.svd(centred, full_matrices=False)
            plane = (centred @ directions[:2].T)[firsts]
    recovered = tuple(
        f.scores.recover(view.model.hearing.classes.index(name))
        for f in findings
        if f.scores and f.scores.recover
        for name in accused[:3]
    )
    return Exhibits(clips=shown, map=plane, recovered=recovered)
