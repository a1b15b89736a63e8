"""Who watches: single detectors, the whole audit and cleaning, each under its shipped decision."""

from collections.abc import Sequence
from functools import cache as once

import numpy as np
from jaxtyping import Bool

from otoscope.auditing import by_default, look, scan
from otoscope.cache import Cache
from otoscope.cleaning import clean
from otoscope.clips import Clips
from otoscope.concluding import Finding, conclude
from otoscope.detect import DETECTORS, View
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import AudioModel
from otoscope.registry import build, did_you_mean

AUDIT, CLEANING = "audit", "clean"
WATCHERS = (*DETECTORS, AUDIT, CLEANING)
"""All watchers; beside them, ``audit:one+two`` is an audit with these detectors only."""

FALSE_ALARM_LEVEL = 0.05

FOUND = 0.5
"""Cleaning has caught an attack when it flags this share of its poisoned clips."""


def require_watchers(names: Sequence[str]) -> None:
    """Raise ``SpecError`` for a name that is no watcher, or an audit with what is no detector."""
    for name in names:
        for part in _detectors(name) if name.startswith(f"{AUDIT}:") else [name]:
            known = WATCHERS if part == name else tuple(DETECTORS)
            if part not in known:
                raise SpecError(
                    f"there is no watcher {part!r}{did_you_mean(part, known)}; "
                    f"there are: {', '.join(known)}"
                )


def watch(
    names: Sequence[str],
    model: AudioModel,
    clips: Clips,
    poison: Bool[np.ndarray, "clips"],
    *,
    trusted: Clips | None = None,
    seed: int = 0,
    cache: Cache | None = None,
) -> dict[str, float]:
    """How suspicious each watcher finds a model and the set it was trained on.

    ``poison`` tells which clips are poisoned, cover clips left out; there may be none.

    In units of the decision: caught at 1 and above. For a detector, log p over the logarithm of
    ``FALSE_ALARM_LEVEL``, where p is its calibrated p-value (0 where it is inconclusive); for an
    audit the same of all its detectors' p-values, combined as ``otoscope.audit`` does. For
    ``clean``, the share of the poison that it flags, over ``FOUND``; of no poison, 1 for any flag.
    """
    require_watchers(names)

    @once
    def view() -> View:
        return look(model, clips, trusted=trusted, seed=seed, cache=cache)

    @once
    def found(name: str) -> Finding:
        return scan(build(DETECTORS, name), view())

    def suspicion(name: str) -> float:
        if name == CLEANING:
            return _flagged(model, clips, poison, trusted, seed, cache) / FOUND
        if name.partition(":")[0] == AUDIT:
            chosen = by_default(view()) if name == AUDIT else _detectors(name)
            findings = [found(one) for one in chosen]
            return _in_decisions(conclude(view(), findings, FALSE_ALARM_LEVEL).p_value)
        return _in_decisions(found(name).evidence.p_value)

    return {name: suspicion(name) for name in names}


def _detectors(name: str) -> Sequence[str]:
    """Those that an audit names."""
    return name.removeprefix(f"{AUDIT}:").split("+")


def _in_decisions(p_value: float | None) -> float:
    if p_value is None:
        return 0.0
    return float(np.log(max(p_value, 1e-12)) / np.log(FALSE_ALARM_LEVEL))


def _flagged(
    model: AudioModel,
    clips: Clips,
    poison: Bool[np.ndarray, "clips"],
    trusted: Clips | None,
    seed: int,
    cache: Cache | None,
) -> float:
    """The share of the poison that cleaning flags; of no poison, ``FOUND`` for any flag."""
    try:
        flagged = clean(clips, model=model, trusted=trusted, seed=seed, cache=cache).flagged
    except NotApplicable:
        return 0.0
    return float(flagged[poison].mean()) if poison.any() else FOUND * bool(flagged.any())
