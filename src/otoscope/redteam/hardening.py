"""Attack, choose the audit that catches what was found, attack that one again.

What can be chosen is the audit's composition: which detectors it runs. A round's attacks, and
clean models for comparison, tell how each composition would have done; the next round is attacked
with another seed against the one that did best.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from otoscope.clips import Clips
from otoscope.metrics import wilson_interval
from otoscope.poisoning import with_sound
from otoscope.progress import track
from otoscope.redteam.arena import Arena
from otoscope.redteam.campaign import Budget, Campaign, search
from otoscope.redteam.context import Context
from otoscope.redteam.measures import Evasion, evasion
from otoscope.redteam.outcomes import Access, Outcome
from otoscope.redteam.strategies import strategy_named
from otoscope.redteam.suite import AUDIT, FALSE_ALARM_LEVEL, require_watchers
from otoscope.registry import require
from otoscope.triggers import RoomReverb, Tone, Trigger

NUISANCES: tuple[Trigger | None, ...] = (None, Tone(), RoomReverb())
"""What every so many clean training sets hold: nothing, or an honest sound in some of the clips."""

NUISANCE_SHARE = 0.08

CLEAN_SEEDS = 500_000
"""Added to the seeds of clean models, so that none is an attack's."""

MOST_DETECTORS = 12
"""Of so many there are 4,095 audits to choose from."""

Suspicions = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Round:
    """One round: the audit that was attacked, how it did, and the one chosen for the next round.

    ``evasion`` counts the round's decided attacks under ``watcher``, ``after`` the same attacks
    under ``chosen``; ``false_alarms`` of ``clean_models`` that ``watcher`` accused, clean models
    which it was not chosen on.
    """

    number: int
    watcher: str
    evasion: Evasion
    false_alarms: int
    clean_models: int
    chosen: str
    after: Evasion

    @property
    def false_alarm_interval(self) -> tuple[float, float]:
        """Wilson's, at 95 %."""
        return wilson_interval(self.false_alarms, self.clean_models)


def compositions(detectors: Sequence[str]) -> tuple[str, ...]:
    """Every audit with one or more of the detectors, as watchers' names."""
    return tuple(
        f"{AUDIT}:{'+'.join(some)}"
        for count in range(1, len(detectors) + 1)
        for some in itertools.combinations(detectors, count)
    )


def harden(
    arena: Arena,
    strategy: str,
    budget: Budget,
    detectors: Sequence[str],
    *,
    rounds: int = 2,
    clean_models: int = 3,
    access: Access = "scores",
) -> list[Round]:
    """Rounds of attacks on the audit, each followed by a choice among its compositions.

    The first round attacks the audit as shipped. ``budget`` is each round's; the attacker's seed
    grows by one. ``clean_models`` are trained anew in each round, on clean data and on data with an
    honest nuisance in turn: they judge the round's audit first and take part in the choice then.
    """
    require(rounds >= 1, f"harden: rounds must be at least 1, got {rounds}")
    require(clean_models >= 1, f"harden: clean_models must be at least 1, got {clean_models}")
    require_watchers(detectors)
    require(
        len(detectors) <= MOST_DETECTORS,
        f"harden: every one more doubles the audits to choose from; name at most {MOST_DETECTORS} "
        f"detectors, got {len(detectors)}",
    )
    choices = compositions(detectors)
    watcher, told = AUDIT, []
    attacks: list[Outcome] = []
    clean: list[Mapping[str, float]] = []
    for number in range(rounds):
        now = replace(arena, seed=arena.seed + number, in_view=(watcher,), held_out=choices)
        fresh = _clean(now, (watcher, *choices), number, clean_models)
        campaign = Campaign(now, budget, access)
        searcher = strategy_named(strategy, now.space, Context.of(campaign))
        search(campaign, searcher, np.random.default_rng(now.seed))
        found = [o for o in campaign.outcomes.values() if o and o.stage == "decided"]
        attacks += [o for o in found if o.works(arena.bounds)]
        clean += fresh
        chosen = choose(choices, attacks, clean) if attacks else watcher
        told.append(
            Round(
                number,
                watcher,
                evasion(found, (watcher,), arena.bounds),
                sum(one[watcher] >= 1 for one in fresh),
                len(fresh),
                chosen,
                evasion(found, (chosen,), arena.bounds),
            )
        )
        watcher = chosen
    return told


def choose(choices: Sequence[str], attacks: Sequence[Outcome], clean: Suspicions) -> str:
    """The composition that catches most attacks among those that accuse few clean models.

    Few is the share that the false-alarm level allows, or, where none accuses so few, the fewest.
    Among equals the one whose most suspicious clean model is least so, then the shortest.
    """
    accused = {name: sum(one[name] >= 1 for one in clean) for name in choices}
    allowed = max(int(FALSE_ALARM_LEVEL * len(clean)), min(accused.values()))

    def merit(name: str) -> tuple[int, float, int]:
        caught = sum(attack.suspicion[name] >= 1 for attack in attacks)
        worst = max((one[name] for one in clean), default=0.0)
        return caught, -worst, -name.count("+")

    return max((name for name in choices if accused[name] <= allowed), key=merit)


def with_nuisance(clips: Clips, sound: Trigger | None, seed: int) -> Clips:
    """The same clips; ``NUISANCE_SHARE`` of them carry a sound, all under their own labels."""
    if sound is None:
        return clips
    drawn = np.random.default_rng(seed).permutation(len(clips))
    return with_sound(clips, sound, drawn[: round(NUISANCE_SHARE * len(clips))], seed)


def _clean(arena: Arena, watchers: Sequence[str], number: int, count: int) -> Suspicions:
    """What the watchers say of ``count`` models trained without poison."""
    found = []
    for k in track(range(count), "training clean models", count):
        seed = CLEAN_SEEDS + number * 1000 + k
        clips = with_nuisance(arena.splits.train, NUISANCES[k % len(NUISANCES)], seed)
        found.append(arena.false_alarm(clips, seed, watchers))
    return found
