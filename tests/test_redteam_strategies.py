"""Every search strategy keeps the same promises; then each one does what it is for."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from otoscope.errors import SpecError
from otoscope.redteam import Bins, Space, Strategy, Trial
from otoscope.redteam.campaign import Budget, Campaign, search
from otoscope.redteam.context import LENGTH, Context
from otoscope.redteam.environment import PoisoningEnv, ScheduleEnv
from otoscope.redteam.space import FAMILY
from otoscope.redteam.strategies import STRATEGIES, FixedCatalogue, MapElites, strategy_named
from otoscope.redteam.strategies.map_elites import archive, cell
from otoscope.redteam.strategies.ppo import ROLLOUT, ProximalPolicy, learned
from otoscope.redteam.suite import WATCHERS
from redteam_toys import CLIPS, FAMILIES, hill

SPACE = hill().space
CONTEXT = Context(("vouching",), "cnn", 12, 240, 40)
every = pytest.mark.parametrize("name", STRATEGIES)

Played = tuple[list[Trial], Strategy]


def peak(bins: Bins) -> float:
    """A reward that a search can climb: a high rate, few cover clips, one family."""
    return bins[0] / 6 - 0.3 * bins[2] / 3 + 0.5 * (bins[4] == 1) - 0.5 * bins[5] / 11


def play(name: str, seed: int, rounds: int = 30, value: Callable[[Bins], float] = peak) -> Played:
    strategy = strategy_named(name, SPACE, CONTEXT)
    rng, history = np.random.default_rng(seed), []
    for _ in range(rounds):
        bins = SPACE.clamp(strategy.ask(tuple(history), rng))
        detail = {"spectral_distance_db": float(bins[5])}
        history.append(Trial(bins, value(bins), bins[0] / 6, 0.9, False, detail))
    return history, strategy


# The contract


@every
def test_proposals_lie_in_the_space(name: str) -> None:
    for trial in play(name, 0)[0]:
        assert trial.bins == SPACE.clamp(trial.bins)


@every
def test_an_attacker_who_trains_tries_hiding_more_and_less(name: str) -> None:
    space = Space.of(CLIPS, seed=0, families=FAMILIES, hides=True)
    strategy, rng = strategy_named(name, space, CONTEXT), np.random.default_rng(0)
    history: list[Trial] = []
    for _ in range(30):
        bins = space.clamp(strategy.ask(tuple(history), rng))
        history.append(Trial(bins, peak(bins), 0.5, 0.9, False, {"spectral_distance_db": 5.0}))
    tried = {trial.bins[FAMILY + 1] for trial in history}
    assert tried == {0} if name == "catalogue" else len(tried) > 1


@every
def test_same_seed_same_search(name: str) -> None:
    one, other = play(name, 3)[0], play(name, 3)[0]
    assert [t.bins for t in one] == [t.bins for t in other]


@every
def test_other_seeds_search_elsewhere(name: str) -> None:
    same = [t.bins for t in play(name, 0)[0]] == [t.bins for t in play(name, 1)[0]]
    assert same == (name == "catalogue")


@every
def test_nobody_elses_randomness_is_touched(name: str) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index,union-attr]  # noqa: NPY002
    play(name, 0, rounds=ROLLOUT + 2)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index,union-attr]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@every
def test_a_search_goes_on_after_impossible_attacks(name: str) -> None:
    campaign = Campaign(hill(), Budget(screened=24, retrained=4, decided=1))
    strategy = strategy_named(name, SPACE, Context.of(campaign))
    search(campaign, strategy, np.random.default_rng(0))
    assert len(campaign.trials) == 24


@every
def test_a_search_may_start_from_what_worked_before(name: str) -> None:
    arena = hill()
    campaign = Campaign(arena, Budget(screened=2 * ROLLOUT, retrained=4, decided=1))
    rng = np.random.default_rng(7)
    known = [arena.space.draw(rng) for _ in range(3)]
    strategy = strategy_named(name, SPACE, Context.of(campaign))
    search(campaign, strategy, np.random.default_rng(0), known)
    assert [trial.bins for trial in campaign.trials[:3]] == known
    assert len(campaign.trials) == 2 * ROLLOUT


def test_the_table_names_them() -> None:
    assert "random" in STRATEGIES, "random search is never left out"
    for name in STRATEGIES:
        assert strategy_named(name, SPACE, CONTEXT).name == name
    with pytest.raises(SpecError, match="no strategy 'randon'; did you mean 'random'"):
        strategy_named("randon", SPACE, CONTEXT)


# What each is for


def late(name: str, rounds: int) -> float:
    """The mean reward of the last third."""
    return float(np.mean([t.reward for t in play(name, 0, rounds)[0][-rounds // 3 :]]))


@pytest.mark.parametrize("name", ["cma-es", "bayesian", "map-elites", "ppo"])
def test_those_that_learn_climb_a_hill(name: str) -> None:
    rounds = 192 if name == "ppo" else 75
    assert late(name, rounds) > late("random", 90) + 0.2


def test_the_catalogue_goes_round() -> None:
    strategy = FixedCatalogue(SPACE)
    count = len(strategy.attacks)
    assert count >= 5
    assert len(set(strategy.attacks)) == count
    asked = [t.bins for t in play("catalogue", 0, count + 1)[0]]
    assert asked[count] == asked[0]
    with pytest.raises(SpecError, match="can express no published attack"):
        FixedCatalogue(Space.of(CLIPS, seed=0, families=["composite"]))


def test_map_elites_keeps_the_best_of_every_cell() -> None:
    history = play("map-elites", 0, 60)[0]
    elites = archive(history)
    assert len(elites) > 4
    for at, best in elites.items():
        assert best.reward == max(t.reward for t in history if cell(t) == at)
    impossible = Trial(history[0].bins, -1.0, 0, 0, False, {"infeasible": 1.0})
    assert not archive([impossible])


def test_map_elites_changes_elites_a_little() -> None:
    near = MapElites(SPACE, startup=0, fresh=0.0, crossing=0.0)
    (elite,) = play("random", 5, 1)[0]
    rng = np.random.default_rng(0)
    apart = [SPACE.distance(elite.bins, near.ask([elite], rng)) for _ in range(50)]
    assert np.median(apart) < 0.35
    assert np.mean(np.array(apart) > 0) > 0.8


def test_a_policy_learns_across_contexts_and_goes_on_from_there() -> None:
    environment = PoisoningEnv([hill(), hill(in_view=("strip",))], Budget(64, 4, 0))
    policy = learned(environment, 2 * ROLLOUT, seed=0)
    assert sum(len(c.trials) for c in environment.campaigns) == 2 * ROLLOUT
    strategy = ProximalPolicy(SPACE, CONTEXT, policy)
    before = {n: p.clone() for n, p in policy.policy.named_parameters()}
    rng, history = np.random.default_rng(0), []
    for _ in range(ROLLOUT + 1):
        bins = strategy.ask(history, rng)
        history.append(Trial(bins, peak(bins), 0, 0, False, {}))
    assert any(not torch.equal(before[n], p) for n, p in policy.policy.named_parameters())


def test_a_policy_learns_schedules() -> None:
    policy = learned(ScheduleEnv([hill()], 4), ROLLOUT, seed=0, discount=1.0)
    assert policy.gamma == 1.0
    assert policy.num_timesteps == ROLLOUT


def test_the_context_is_what_the_access_shows() -> None:
    history = [
        Trial((0,), 0, 0, 0, False, {"suspicion of vouching": 1.0}),
        Trial((0,), 0, 0, 0, False, {"caught by strip": 1.0}),
    ]
    seen, blind = CONTEXT.observed(history), CONTEXT.observed([])
    assert len(seen) == LENGTH
    vouching, strip = (len(WATCHERS) + WATCHERS.index(name) for name in ("vouching", "strip"))
    budget = 2 * len(WATCHERS)
    assert set(np.flatnonzero(seen != blind)) == {vouching, strip, budget}
    assert seen[vouching] == 0.5, "half its suspicion"
    assert seen[strip] == 1.0
    assert seen[budget] == pytest.approx(1 - 2 / 40)
    assert (seen >= 0).all()
    assert (seen <= 1).all()
