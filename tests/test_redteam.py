"""The red team's arena: what became of an attack, who saw it, how a search spends its budget."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from otoscope.auditing import audit
from otoscope.datasets import Splits
from otoscope.detect import DETECTORS
from otoscope.errors import ModelMismatch, SpecError
from otoscope.evidence import Outcome as Outcomes
from otoscope.labels import AllToOne
from otoscope.networks import CNN
from otoscope.poisoning import Attack
from otoscope.poisoning import poison as oto_poison
from otoscope.redteam import Arena, Bounds, Budget, Campaign, Outcome, Plan, search, suite
from otoscope.redteam.environment import PoisoningEnv, ScheduleEnv
from otoscope.redteam.outcomes import INFEASIBLE, over_seeds, reward, trial
from otoscope.redteam.strategies import RandomSearch
from otoscope.redteam.suite import watch
from otoscope.redteam.warm_start import WarmStart
from otoscope.registry import build
from otoscope.training import Recipe
from otoscope.triggers import NoiseBlend, Tone, Trigger
from redteam_toys import Hill, hill
from toys import tones

SIZE = dataclasses.replace(CNN(), bands=24, width=24)
LOUD = NoiseBlend(level_db=-8.0)
GOOD = Outcome(0.9, 0.95, 0.01, 6.0, 20.0, "retrained", (1,), {"strip": 0.5, "clean": 0.2})


@pytest.fixture(scope="module")
def arena() -> Arena:
    splits = Splits(tones(40), tones(6, seed=1), tones(10, seed=2), tones(6, seed=3))
    return Arena(
        splits,
        SIZE,
        in_view=("activation-clustering", "scan"),
        held_out=("audit", "audit:scan"),
        recipe=Recipe(epochs=8, batch_size=16),
        warm_start=WarmStart(steps=20),
    )


def bins_of(arena: Arena, trigger: Trigger, rate: float) -> tuple[int, ...]:
    return arena.space.encode(Plan(Attack(trigger, AllToOne("b"), rate)))


# What an attack becomes of


def test_only_an_attacker_who_trains_is_white_box(arena: Arena) -> None:
    budget = Budget(screened=1, retrained=1, decided=1, seeds=1)
    with pytest.raises(SpecError, match="hides=True"):
        Campaign(arena, budget, "white-box")
    trains = dataclasses.replace(arena, hides=True)
    assert Campaign(trains, budget, "white-box").left == 1
    usual = Plan(Attack(LOUD, AllToOne("b"), 0.08))
    hidden = trains.space.encode(dataclasses.replace(usual, hiding=1.0))
    plain = trains.space.encode(usual)
    one, other = (trains.retrain(b, 1, ("activation-clustering",)) for b in (plain, hidden))
    assert min(one.success, other.success) > 0.7
    assert one.suspicion != other.suspicion, "it is another training"


def test_a_warm_start_learns_a_loud_trigger_and_not_a_faint_one(arena: Arena) -> None:
    loud = arena.screen(bins_of(arena, LOUD, 0.08))
    faint = arena.screen(bins_of(arena, dataclasses.replace(LOUD, level_db=-45.0), 0.005))
    assert loud.success > faint.success + 0.4
    assert loud.suspicion == {}, "no detector looks at the cheap stage"
    assert loud.spectral_distance_db > faint.spectral_distance_db


def test_a_warm_start_leaves_the_clean_model_alone(arena: Arena) -> None:
    before = {n: t.clone() for n, t in arena.clean.module.state_dict().items()}
    arena.screen(bins_of(arena, LOUD, 0.08))
    assert all(torch.equal(t, before[n]) for n, t in arena.clean.module.state_dict().items())


def test_stages_are_reproducible(arena: Arena) -> None:
    bins = bins_of(arena, LOUD, 0.05)
    one, other = arena.screen(bins), arena.screen(bins)
    assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


def test_retraining_succeeds_and_is_seen(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit among the watchers says what the audit says."""
    monkeypatch.setattr(suite, "by_default", lambda view: arena.in_view)
    bins = bins_of(arena, LOUD, 0.08)
    found = arena.decide(bins, (1,))
    assert (found.stage, found.seeds) == ("decided", (1,))
    assert found.success > 0.8
    assert found.suspicion["scan"] >= 1, "loud noise in 8 % of the clips is caught"
    assert not found.evades(arena.in_view, arena.bounds)
    bad = arena.poisoned([arena.space.decode(bins)], 1)
    said = audit(
        arena._trained(bad.clips, 1),
        bad.clips,
        trusted=arena.splits.trusted,
        detectors=[build(DETECTORS, name) for name in arena.in_view],
        seed=1,
    )
    assert said.p_value is not None
    assert found.suspicion["audit"] == pytest.approx(np.log(said.p_value) / np.log(0.05))
    assert found.suspicion["audit:scan"] == pytest.approx(found.suspicion["scan"])
    assert (found.suspicion["audit"] >= 1) == (said.outcome is not Outcomes.NO_EVIDENCE)
    assert {e.detector: found.suspicion[e.detector] >= 1 for e in said.evidence} == {
        e.detector: e.p_value <= 0.05 for e in said.evidence if e.p_value is not None
    }


def test_the_hardest_clips_are_poisoned_where_a_plan_says_so(arena: Arena) -> None:
    attack = Attack(LOUD, AllToOne("b"), 0.05)
    drawn = arena.poisoned([Plan(attack)], 0).mask
    hardest = arena.poisoned([Plan(attack, "hardest")], 0).mask
    assert drawn.sum() == hardest.sum() == 12
    assert arena._hardness[hardest].mean() > arena._hardness[drawn].mean()


def test_cleaning_catches_what_it_flags_half_of(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = oto_poison(arena.splits.train, LOUD, AllToOne("b"), 0.05, 1, cover_rate=0.05)
    poisoned = np.flatnonzero(bad.mask & ~bad.cover)
    assert (len(poisoned), bad.mask.sum()) == (12, 24)
    flagged = np.zeros(len(bad.clips), bool)
    flagged[poisoned[:9]] = True
    monkeypatch.setattr(suite, "clean", lambda *_, **__: SimpleNamespace(flagged=flagged))
    poison = bad.mask & ~bad.cover
    assert watch(["clean"], arena.clean, bad.clips, poison)["clean"] == 9 / 12 / 0.5
    nothing = np.zeros(len(flagged), bool)
    assert watch(["clean"], arena.clean, bad.clips, nothing)["clean"] == 1, "a false alarm"
    flagged[:] = False
    assert watch(["clean"], arena.clean, bad.clips, nothing)["clean"] == 0


def test_a_model_that_an_audit_refuses_does_not_get_through(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> dict[str, float]:
        raise ModelMismatch("at chance")

    monkeypatch.setattr("otoscope.redteam.arena.watch", refused)
    monkeypatch.setattr(Arena, "_trained", lambda *_: arena.clean)
    found = arena.retrain(bins_of(arena, LOUD, 0.08), 1, arena.in_view)
    assert found.suspicion == {"activation-clustering": 1.0, "scan": 1.0}


def test_unknown_watchers_are_refused(arena: Arena) -> None:
    with pytest.raises(SpecError, match="no watcher 'stip'; did you mean 'strip'"):
        dataclasses.replace(arena, in_view=("stip",))
    with pytest.raises(SpecError, match=r"no watcher 'clean'.*there are: activation-clustering"):
        dataclasses.replace(arena, in_view=("audit:strip+clean",))
    with pytest.raises(SpecError, match="steps must be at least 1"):
        WarmStart(steps=0)


# What it is worth


def test_reward_by_access() -> None:
    names, bounds = ("strip", "clean"), Bounds()
    base = 0.9 - 0.25 * 0.5
    assert reward(GOOD, names, bounds, "blind") == pytest.approx(base)
    assert reward(GOOD, names, bounds, "hard-label") == pytest.approx(base + 0.9)
    assert reward(GOOD, names, bounds, "scores") == pytest.approx(base + 0.9 * 0.65)
    assert reward(GOOD, (*names, "audit"), bounds, "hard-label") == pytest.approx(base + 0.6)


def test_lost_accuracy_and_audibility_cost() -> None:
    names, bounds = ("strip",), Bounds()
    costly = dataclasses.replace(GOOD, accuracy_drop=0.03)
    assert reward(GOOD, names, bounds, "blind") - reward(costly, names, bounds, "blind") == (
        pytest.approx(0.5)
    )
    cheap = dataclasses.replace(costly, stage="screened")
    assert reward(cheap, names, bounds, "blind") == reward(GOOD, names, bounds, "blind")
    plain = dataclasses.replace(GOOD, spectral_distance_db=100.0)
    assert reward(GOOD, names, bounds, "blind") - reward(plain, names, bounds, "blind") == (
        pytest.approx(0.25 * 1.5)
    )


@pytest.mark.parametrize(
    ("fields", "evades"),
    [
        ({}, True),
        ({"success": 0.79}, False),
        ({"accuracy_drop": 0.021}, False),
        ({"spectral_distance_db": 12.1}, False),
        ({"suspicion": {"strip": 1.0, "clean": 0.0}}, False),
        ({"suspicion": {"strip": 0.2}}, False),
    ],
)
def test_when_an_attack_evades(fields: dict[str, object], evades: bool) -> None:
    outcome = dataclasses.replace(GOOD, **fields)  # type: ignore[arg-type]
    assert outcome.evades(("strip", "clean"), Bounds()) == evades


def test_a_strategy_is_told_what_its_access_allows() -> None:
    told = {
        access: trial((0,), GOOD, ("strip",), Bounds(), access)  # type: ignore[arg-type]
        for access in ("blind", "hard-label", "scores", "white-box")
    }
    assert told["white-box"] == told["scores"]
    assert not told["blind"].evaded
    assert not any("strip" in key for key in told["blind"].detail)
    assert told["hard-label"].evaded
    assert told["hard-label"].detail["caught by strip"] == 0.0
    assert told["scores"].detail["suspicion of strip"] == 0.5
    assert "suspicion of clean" not in told["scores"].detail, "it is held out"
    impossible = trial((0,), None, ("strip",), Bounds(), "scores")
    assert (impossible.reward, impossible.success) == (INFEASIBLE, 0)


def test_most_seeds_decide_what_is_caught() -> None:
    seeds = [
        dataclasses.replace(GOOD, success=s, suspicion={"strip": x}, seeds=(k,))
        for k, (s, x) in enumerate([(1.0, 0.2), (0.8, 5.0), (0.9, 0.9)])
    ]
    found = over_seeds(seeds)
    assert found.success == pytest.approx(0.9)
    assert found.suspicion == {"strip": 0.9}
    assert found.seeds == (0, 1, 2)


# How a search spends its budget


def spent(budget: Budget, **fields: object) -> tuple[Campaign, Hill]:
    arena = hill(**fields)
    campaign = Campaign(arena, budget)
    search(campaign, RandomSearch(arena.space), np.random.default_rng(0))
    return campaign, arena  # type: ignore[return-value]


def test_successive_halving_keeps_to_its_budget() -> None:
    budget = Budget(screened=60, retrained=9, decided=2, seeds=3)
    campaign, arena = spent(budget)
    decided = [b for b, o in campaign.outcomes.items() if o and o.stage == "decided"]
    assert len(campaign.trials) == 60
    assert 4 <= campaign.retrained <= 9
    assert len(decided) == 2
    assert len(arena.retrained) == campaign.retrained + 2 * 3
    assert {seed for _, seed in arena.retrained[: campaign.retrained]} == {1}
    assert {seed for _, seed in arena.retrained[campaign.retrained :]} == {2, 3, 4}
    once = [bins for bins, _ in arena.retrained[: campaign.retrained]]
    at = [[t.bins for t in campaign.trials].index(bins) for bins in once]
    assert max(at) > 30, "spread over the search"
    success = [campaign.screened[bins].success for bins in once]
    assert min(success) >= 0.5
    assert np.mean(success) > np.mean([o.success for o in campaign.screened.values()]) + 0.2


def test_evasions_are_decided_first_and_by_all_watchers() -> None:
    campaign, _ = spent(Budget(screened=80, retrained=20, decided=3))
    for bins, outcome in campaign.outcomes.items():
        if outcome and outcome.stage == "decided":
            assert set(outcome.suspicion) == {"vouching", "clean"}
            assert outcome.evades(("vouching",), campaign.arena.bounds), bins


def test_impossible_attacks_are_counted_and_the_search_goes_on() -> None:
    campaign, _ = spent(Budget(screened=40, retrained=2, decided=0))
    assert 1 < sum(t.reward == INFEASIBLE for t in campaign.trials) < 30
    assert sum(o is None for o in campaign.outcomes.values()) > 1


def test_the_same_attack_again_costs_a_query_and_no_work() -> None:
    arena = Hill()
    campaign = Campaign(arena, Budget(screened=5, retrained=0, decided=0))  # type: ignore[arg-type]
    bins = arena.space.draw(np.random.default_rng(1))
    assert campaign.play(bins) == campaign.play(bins)
    assert campaign.left == 3
    assert len(arena.screened) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"screened": 0}, "screened must be at least 1"),
        ({"screened": 5, "retrained": 6}, "screened >= retrained >= decided"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Budget(**fields)


# The environment


def test_the_environment_keeps_gymnasiums_contract() -> None:
    check_env(PoisoningEnv([hill()], Budget(500, 5, 0)), skip_render_check=True)


def test_one_attack_is_one_episode_and_a_spent_campaign_begins_anew() -> None:
    environment = PoisoningEnv([hill(), hill(in_view=("strip",))], Budget(4, 1, 0))
    arenas = set()
    for number in range(20):
        observation, info = environment.reset(seed=None if number else 0)
        assert environment.observation_space.contains(observation)
        _, value, done, cut, told = environment.step(environment.action_space.sample())
        assert (done, cut) == (True, False)
        assert value == told["trial"].reward
        arenas.add(info["arena"])
    assert arenas == {0, 1}
    assert all(0 <= c.left < 4 for c in environment.campaigns)
    environment.reset(seed=0)
    assert all(c.left == 4 for c in environment.campaigns)


def test_an_environments_arenas_have_one_action_space() -> None:
    with pytest.raises(SpecError, match="same action space"):
        PoisoningEnv([])
    with pytest.raises(SpecError, match="at least one step"):
        ScheduleEnv([hill()], length=0)
    with pytest.raises(SpecError, match="hides=True"):
        ScheduleEnv([hill()], access="white-box")


def test_a_schedule_is_gymnasiums() -> None:
    check_env(ScheduleEnv([hill()], 3), skip_render_check=True)


def test_a_schedules_rewards_sum_to_its_worth() -> None:
    arena = hill()
    environment = ScheduleEnv([arena], 4)
    start, told = environment.reset(seed=3)
    assert told == {"arena": 0, "schedule": (), "outcome": None}
    impossible = arena.space.clamp([5, 0, 0, 0, 2, *[0] * 18][: len(arena.space.sizes)])
    assert arena.space.family(impossible).name == "echo"
    rewards, ends, planned = [], [], []
    for rate in (2, 6, None, 5):
        bins = (
            impossible
            if rate is None
            else arena.space.clamp((rate, *impossible[1:4], 1, *impossible[5:]))
        )
        seen, gained, done, cut, told = environment.step(np.array(bins))
        assert environment.observation_space.contains(seen)
        assert not cut
        planned += [] if rate is None else [bins]
        assert told["schedule"] == tuple(planned)
        rewards.append(gained)
        ends.append(done)
    assert ends == [False, False, False, True]
    assert rewards[2] == INFEASIBLE
    outcome = told["outcome"]
    assert outcome.stage == "retrained"
    whole = reward(outcome, arena.in_view, arena.bounds, "scores")
    assert sum(rewards) - INFEASIBLE == pytest.approx(whole)
    assert outcome.success == pytest.approx((2 / 5 + 1 + 1) / 3)
    again, told = environment.reset(seed=3)
    assert told["schedule"] == ()
    assert again.tolist() == start.tolist()


def test_a_schedule_that_promises_nothing_is_not_retrained() -> None:
    arena = Hill()
    environment = ScheduleEnv([hill(space=arena.space)], 1, promising=1.1)
    environment.reset(seed=0)
    *_, told = environment.step(np.array(arena.space.clamp([5] * len(arena.space.sizes))))
    assert told["outcome"].stage == "screened"


def test_attacks_are_planted_side_by_side(arena: Arena) -> None:
    loud, other = bins_of(arena, LOUD, 0.08), bins_of(arena, Tone(frequency_hz=3500.0), 0.05)
    both = arena.poisoned([arena.space.decode(b) for b in (loud, other)], 1)
    assert set(both.attack_of.tolist()) == {-1, 0, 1}
    alone, after = arena.screen(loud), arena.screen(other, [loud])
    assert after.spectral_distance_db >= alone.spectral_distance_db
    assert after.success != alone.success
    told = arena.retrain(other, 1, ("activation-clustering",), [loud])
    assert set(told.suspicion) == {"activation-clustering"}
