"""Hardening: the audit that catches what was found, at its false alarms, is attacked next."""

import numpy as np
import pytest

from otoscope.detect import DETECTORS as ALL
from otoscope.errors import SpecError
from otoscope.redteam import Budget, Outcome, hardening
from otoscope.redteam.hardening import choose, compositions, harden, with_nuisance
from otoscope.triggers import Tone
from redteam_toys import hill
from sounds import clips_of

DETECTORS = ("strip", "vouching")
ONE, OTHER, BOTH = compositions(DETECTORS)


def attack(**suspicion: float) -> Outcome:
    named = {ONE: suspicion["strip"], OTHER: suspicion["vouching"], BOTH: suspicion["both"]}
    return Outcome(0.9, 0.9, 0.0, 5.0, 20.0, "decided", (1,), named)


def test_all_compositions_are_named() -> None:
    assert (ONE, OTHER, BOTH) == ("audit:strip", "audit:vouching", "audit:strip+vouching")
    assert len(compositions(("a", "b", "c", "d"))) == 15


def test_most_caught_wins_among_those_without_false_alarms() -> None:
    attacks = [attack(strip=2, vouching=0, both=0.5), attack(strip=2, vouching=2, both=2)]
    quiet = {ONE: 0.1, OTHER: 0.1, BOTH: 0.1}
    assert choose((ONE, OTHER, BOTH), attacks, [quiet] * 3) == ONE
    assert choose((ONE, OTHER, BOTH), attacks, [quiet, {**quiet, ONE: 1.5}]) == OTHER, "the shorter"
    loud = {ONE: 2.0, OTHER: 3.0, BOTH: 4.0}
    assert choose((ONE, OTHER, BOTH), attacks, [loud, loud]) == ONE, "all accuse clean models"
    often = [{**quiet, ONE: 1.5}] + [quiet] * 19
    assert choose((ONE, OTHER, BOTH), attacks, often) == ONE, "one of twenty is allowed"


def test_rounds_attack_what_was_chosen_with_fresh_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, tuple[str, ...]]] = []

    def suspicions(arena: object, watchers: tuple[str, ...], number: int, count: int) -> object:
        seen.append((arena.seed, arena.in_view))  # type: ignore[attr-defined]
        return [dict.fromkeys(watchers, 0.1 * number) for _ in range(count)]

    monkeypatch.setattr(hardening, "_clean", suspicions)
    told = harden(hill(), "random", Budget(60, 8, 3), DETECTORS, rounds=2, clean_models=4)
    assert [one.watcher for one in told] == ["audit", told[0].chosen]
    assert seen == [(0, ("audit",)), (1, (told[0].chosen,))]
    assert [(one.false_alarms, one.clean_models) for one in told] == [(0, 4), (0, 4)]
    assert told[0].false_alarm_interval[0] == 0
    assert all(one.evasion.worked == one.after.worked for one in told)
    assert sum(one.evasion.worked for one in told) >= 1


def test_a_nuisance_keeps_labels_and_takes_its_share() -> None:
    clips = clips_of("ab" * 25)
    noisy = with_nuisance(clips, Tone(), 0)
    changed = [a.sha256 != b.sha256 for a, b in zip(clips.items, noisy.items, strict=True)]
    assert sum(changed) == 4
    np.testing.assert_array_equal(noisy.labels, clips.labels)
    assert with_nuisance(clips, None, 0) is clips


def test_faulty_rounds_are_refused() -> None:
    with pytest.raises(SpecError, match="rounds must be at least 1"):
        harden(hill(), "random", Budget(), DETECTORS, rounds=0)
    with pytest.raises(SpecError, match="no watcher 'stip'"):
        harden(hill(), "random", Budget(), ("stip",))
    with pytest.raises(SpecError, match="name at most 12 detectors, got 26"):
        harden(hill(), "random", Budget(), tuple(ALL))
