"""The red team's tables: what was missed and by whom, false alarms beside, hardening's rounds."""

import sys
from pathlib import Path
from typing import Any

import pytest

from otoscope.datasets import Splits
from otoscope.redteam.arena import IN_VIEW
from sounds import clips_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))


def attack(
    stage: str, suspicion: dict[str, float], *, number: int = 0, works: bool = True
) -> dict[str, Any]:
    return {
        "bins": [number],
        "attack": {
            "trigger": {"name": "echo"},
            "labels": {"name": "all-to-one"},
            "rate": 0.05,
            "cover_rate": 0.0,
        },
        "stage": stage,
        "success": 0.9,
        "accuracy_drop": 0.0,
        "spectral_distance_db": 5.0,
        "snr_db": 12.0,
        "suspicion": suspicion,
        "works": works,
        "seconds": 12.0,
    }


def rows() -> list[dict[str, Any]]:
    import redteam_page

    chosen = "audit:witness+vouching"
    quiet = dict.fromkeys((*IN_VIEW, *redteam_page.WATCHED), 0.0)
    in_view = dict.fromkeys(IN_VIEW, 0.5)
    attacks = [
        attack("retrained", in_view),
        attack("retrained", in_view | {"vouching": 2.0}, number=1),
    ]
    attacks.append(attack("retrained", in_view, works=False))
    search = {"kind": "search", "strategy": "random", "seed": 0, "impossible": 1}
    search |= {"rewards": [0.1, 0.9, 0.4], "screen_seconds": [3.0], "attacks": attacks}
    decided = {"kind": "decided", "strategy": "random", "seed": 0}
    decided |= {"attacks": [attack("decided", quiet | {"strip": 3.0, chosen: 2.0})]}
    clean = [
        {"kind": "clean", "round": r, "number": 0, "suspicion": quiet | {"scan": 1.5}}
        for r in (0, 1)
    ]
    harden = {"kind": "harden", "strategy": "map-elites", "round": 1, "chosen": chosen}
    harden |= {"attacks": [attack("retrained", {chosen: 0.5}), attack("decided", quiet)]}
    replayed = {"kind": "replayed", "seed": 102, "place": 0}
    replayed |= {"attacks": [attack("retrained", quiet | {"witness": 1.0})]}
    return [search, decided, *clean, harden, replayed]


def row(told: str, start: str) -> list[str]:
    (line,) = (line for line in told.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_share_that_each_watcher_missed_and_its_false_alarms() -> None:
    import redteam_page

    told = redteam_page.tables(rows())
    assert [c.split()[0] for c in row(told, "vouching, in view")] == [
        "1/2",
        "1/1",
        "1/1",
        "2/2",
        "0/2",
    ]
    assert [c.split()[0] for c in row(told, "strip")] == ["–", "0/1", "1/1", "1/2", "0/2"]
    assert [c.split()[0] for c in row(told, "scan")] == ["–", "1/1", "1/1", "2/2", "2/2"]
    assert [c.split()[0] for c in row(told, "all in view together")] == [
        "1/2",
        "1/1",
        "1/1",
        "–",
        "–",
    ]
    assert row(told, "random, seed 0")[-1] == "strip"
    loud = [one | {"suspicion": one["suspicion"] | {"strip": 3.0}} for one in rows()[2:4]]
    told = redteam_page.tables([*rows()[:2], *loud])
    assert row(told, "strip")[3].startswith("1/1"), "no more suspicious than a clean model"
    again = rows()[0] | {"strategy": "map-elites"}
    assert "| vouching, in view | 1/2 [" in redteam_page.tables([*rows(), again]), "found twice"


def test_hardening_tells_what_was_chosen_on_and_what_came_after() -> None:
    import redteam_page

    cells = row(redteam_page.tables(rows()), "1, map-elites")
    assert cells[0] == "audit of witness, vouching"
    assert [c.split()[0] for c in cells[1:]] == ["0/1", "2/2", "1/1", "1/1", "0/1"]
    told = redteam_page.tables(rows())
    assert "2 work, 2/2 [0.34, 1.00] got through" in told
    assert "Replayed attacks that work: 1/1 [0.21, 1.00] got through the audit of witness" in told


def test_attacks_are_tested_again_by_each_seed_beside_its_own_clean_models() -> None:
    import redteam_page

    quiet = dict.fromkeys(redteam_page.RETESTED, 0.0)
    told = [
        {"kind": f"retested{what}", "seed": seed} | found
        for seed, loud in ((103, 0.5), (104, 1.5))
        for what, found in (
            ("", {"attacks": [attack("retrained", quiet | {"audit": loud})]}),
            (" clean", {"suspicion": quiet | {"audit": 2.0 - loud}}),
        )
    ]
    first, second = redteam_page.tables([*rows(), *told]).split("| seed 104, 1 of 1 work |")
    assert [cell.split()[0] for cell in row(second, "audit as shipped")] == ["0/1", "0/1", "–"]
    first = first.partition("| seed 103, 1 of 1 work |")[2]
    assert [cell.split()[0] for cell in row(first, "audit as shipped")] == ["1/1", "1/1", "echo"]


def test_searches_against_the_audit_tell_what_passed_both_it_and_cleaning() -> None:
    import redteam_page

    found = {"kind": "attacked", "strategy": "cma-es", "seed": 200, "rewards": [0.1, 0.2]}
    found["attacks"] = [
        attack("retrained", {"audit": 0.2, "clean": 1.0}),
        attack("retrained", {"audit": 1.2, "clean": 0.0}, number=1, works=False),
        attack("decided", {"audit": 0.2, "clean": 0.0}, number=2),
    ]
    cells = row(redteam_page.tables([*rows(), found]), "cma-es, seed 200")
    assert cells[:2] == ["2", "2/3"]
    assert [cell.split()[0] for cell in cells[2:5]] == ["2/2", "1/2", "1/2"]
    assert cells[5] == "echo (all-to-one)"
    found |= {"start": "known", "access": "white-box"}
    told = redteam_page.tables([*rows(), found])
    assert row(told, "cma-es, white-box, from what worked, seed 200") == cells


def test_hidden_attacks_are_paired_with_themselves_as_they_are() -> None:
    import redteam_page

    quiet = dict.fromkeys((*IN_VIEW, *redteam_page.HIDDEN), 0.0)
    loud = dict.fromkeys(quiet, 2.0)
    hidden: list[dict[str, Any]] = [
        {
            "kind": "hidden",
            "seed": 104,
            "place": p,
            "weight": 0.3,
            "plain": [attack("retrained", loud)],
        }
        for p in range(4)
    ]
    for one, works in zip(hidden, (True, True, False, True), strict=True):
        one["attacks"] = [attack("retrained", quiet | {"witness": 3.0}, works=works)]
    hidden[3]["plain"] = [attack("retrained", loud, works=False)]
    hidden.append({"kind": "hidden", "seed": 104, "place": 4, "weight": 0.3, "attacks": []})
    innocent = {"kind": "hidden clean", "seed": 104, "number": 0}
    hidden.append(innocent | {"suspicion": quiet | {"scan": 1.2}})
    hidden.append({"kind": "hidden", "seed": 105, "place": 0, "weight": 0.3, "attacks": []})
    told = redteam_page.tables([*rows(), *hidden])
    told = told[told.index("## Hidden by the training") :]
    assert "By seed 105, of 1 tried none works as it is." in told
    told = told[: told.index("\n## ")]
    assert "of 3 that work as they are, 2 work still" in told
    assert [c.split()[0] for c in row(told, "scan")] == ["0/3", "3/3", "2/2", "1/1"]
    assert [c.split()[0] for c in row(told, "witness")] == ["0/3", "0/3", "0/2", "0/1"]


def test_curves_are_of_the_best_so_far_and_of_what_works() -> None:
    import redteam_page

    told = redteam_page.tables(rows())
    assert "| random | 0.10 [0.10, 0.10] | 0.90 [0.90, 0.90] | 0.90 [0.90, 0.90] |" in told
    (rate,) = (
        line for line in told.splitlines() if line.startswith("| poison rate | 0.05 up to 1")
    )
    assert [cell.split()[0] for cell in rate.split(" | ")[2:]] == ["0/2", "0/2", "0/2", "1/2"]
    assert "2 attacks that work are of 1 trigger families" in told
    assert "1,200 screenings an hour or 300 retrainings" in told


def test_a_hardened_audit_is_chosen_from_earlier_rounds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import redteam

    asked: list[Any] = []

    class Stop(Exception):
        pass

    def choose(choices: object, attacks: list[Any], clean: list[Any]) -> str:
        asked.extend([len(attacks), len(clean)])
        raise Stop

    monkeypatch.setattr(redteam, "read", lambda _: rows())
    monkeypatch.setattr(redteam, "choose", choose)
    with pytest.raises(Stop):
        redteam._harden({"round": 1, "strategy": "random"}, None, None)  # type: ignore[arg-type]
    assert asked == [1, 1], "one decided attack and one clean model came before round 1"


def test_what_got_through_is_there_to_hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import redteam_exhibits
    import redteam_page

    known = rows()[:-1]
    for level_db, one in enumerate(known[1]["attacks"] + known[-1]["attacks"], start=-20):
        one["attack"]["trigger"] = {"name": "tone", "level_db": float(level_db)}
    clips = clips_of("abab")
    monkeypatch.setattr(redteam_exhibits.oto.datasets, "demo", lambda seed: Splits(*[clips] * 4))
    files = redteam_exhibits.sounds(known, tmp_path / "sounds")
    assert [f.name for f in files] == [
        "before.flac",
        "random-seed-0.flac",
        "map-elites-round-1.flac",
    ]
    before, *after = [f.read_bytes() for f in files]
    assert all(one != before for one in after)
    told = redteam_page.tables(known)
    assert "(redteam-sounds/random-seed-0.flac): `tone:level_db=-20.0`" in told
    assert not redteam_exhibits.sounds(known[:1], tmp_path / "none")
    redteam_exhibits.picture(known, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_the_best_attacks_that_worked_are_decided_and_none_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import redteam

    good, bad = attack("retrained", {}, number=1), attack("retrained", {}, number=2, works=False)
    found = {"kind": "search", "strategy": "random", "seed": 0, "attacks": [good, bad]}
    done = {"kind": "decided", "strategy": "cma-es", "seed": 0}
    done["attacks"] = [attack("decided", {"scan": 7.0}, number=1)]
    monkeypatch.setattr(redteam, "read", lambda _: [found, done])
    job = {"kind": "decided", "strategy": "random", "seed": 0}
    told = [redteam._decided(job | {"place": k}, None, None) for k in (0, 1)]  # type: ignore[arg-type]
    assert told == [{"attacks": done["attacks"]}, {"attacks": []}]


def test_stages_are_ranked_against_the_search_that_promoted_them() -> None:
    import redteam_page

    known = rows()
    full = [attack("retrained", {}, number=k) | {"success": 0.5 + k / 10} for k in range(4)]
    cheap = [{"bins": [k], "success": k / 20, "seconds": 3.0} for k in range(4)]
    known = [known[0] | {"attacks": full}, {"kind": "stages", "screened": cheap}]
    told = redteam_page._stages(known[:1], known[1:], [])
    assert "| screened | 4 | 1.00 | – | 3.0 |" in told


def test_detectors_that_find_nothing_do_not_cancel_others_below_one_half() -> None:
    import redteam_page

    names = (*redteam_page.CALIBRATED, *redteam_page.SINCE)
    suspicion = dict.fromkeys(names, 0.0) | {"gaussian-mixture": 1.6, "spectral-signatures": 1.6}
    assert redteam_page._combined(suspicion, 0.99) < 0.1
    assert redteam_page._combined(suspicion, 0.5) > 1
    assert redteam_page._combined(dict.fromkeys(names, 0.0), 0.5) == pytest.approx(0.231, abs=1e-3)


def test_long_searches_and_what_met_the_audit() -> None:
    import redteam_long_page
    import redteam_page

    view = dict.fromkeys(IN_VIEW, 0.2)
    every = dict.fromkeys((*IN_VIEW, *redteam_page.RETESTED), 0.2)
    job = {"task": "keywords", "seed": 300, "strategy": "random"}
    searched = job | {
        "kind": "long",
        "rewards": [0.1, 1.4],
        "impossible": 0,
        "screen_seconds": [5.0, 7.0],
        "attacks": [attack("retrained", view), attack("retrained", view, number=1, works=False)],
    }
    met = job | {
        "kind": "met",
        "place": 0,
        "attacks": [attack("retrained", every | {"audit": 2.0, "clean": 0.4})],
    }
    clean = job | {"kind": "met clean", "number": 0, "suspicion": every | {"clean": 1.0}}
    told = redteam_long_page.tables([searched, met, clean])
    assert "| random, seed 300 | 1.40 | 1/2 | 1/1 [0.21, 1.00] |" in told
    assert "| random, seed 300 | 1 | 1 | 1 | 0.57 | – | – |" in told
    assert "| audit as shipped | 0/1 [0.00, 0.79] | 0/1 [0.00, 0.79] | – |" in told
    assert "| clean | 1/1 [0.21, 1.00] | 1/1 [0.21, 1.00] | echo (all-to-one) |" in told
    later = [met | {"kind": "met again", "seed": 310}, clean | {"kind": "met again clean"}]
    later[1] |= {"seed": 310, "suspicion": every}
    told = redteam_long_page.tables([searched, met, clean, *later])
    assert "| seed 300, by another training: 1 of 1 work |" in told
    assert "| seed 310, by another target and source: 1 of 1 work |" in told
    assert told.count("| clean | 1/1 [0.21, 1.00] | 0/1 [0.00, 0.79] | echo (all-to-one) |") == 1
    assert redteam_long_page.tables([]) == ""
    none = searched | {"attacks": [attack("retrained", view, works=False)]}
    assert "| random, seed 300 | 0 | 0 | 0 | 0.00 | – | – |" in redteam_long_page.tables([none])
    fitted = {"kind": "signatures", "triggers": ["echo", "echo"], "known": [1], "caught": [0.25]}
    assert "| 1 of 2 | 0.25 |" in redteam_long_page.tables([fitted])
