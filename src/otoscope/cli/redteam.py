"""otoscope redteam and otoscope harden: attack our own detectors, on data that you own."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otoscope.cli.app import Data, Duration, Fit, FitRule, Seed, app, tell_skipped
from otoscope.cli.asking import Llm, LlmLimits, client_of, cost_line
from otoscope.cli.outputs import json_text
from otoscope.errors import SpecError

if TYPE_CHECKING:
    from otoscope.llm import Client
    from otoscope.redteam import Arena, Budget, Campaign
    from otoscope.redteam.outcomes import Access

Owned = Annotated[
    bool, typer.Option("--i-own-this-data", help="DATA is yours to attack; written to the log.")
]
StrategyName = Annotated[
    str, typer.Option(help="random, catalogue, cma-es, bayesian, map-elites, ppo, or llm.")
]
Queries = Annotated[int, typer.Option(help="How many attacks are screened.")]
Retrained = Annotated[
    int | None,
    typer.Option(help="How many of them are trained from scratch; default: a tenth of --budget."),
]
Decided = Annotated[
    int | None, typer.Option(help="How many of these over three seeds; default: 3 at most.")
]
Seen = Annotated[
    str,
    typer.Option(
        help="What the attacker sees: blind, hard-label, scores, or white-box, where it also "
        "trains the model so that it hides the poison."
    ),
]
Victim = Annotated[str, typer.Option(help="The network that is trained on the poison.")]
Epochs = Annotated[int | None, typer.Option(help="At most this many epochs a training.")]
Keep = Annotated[
    Path | None, typer.Option(help="Keep log.jsonl and findings.json here; no audio, no models.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only print what would be tried and what is told to whom.")
]


@app.command()
def redteam(
    data: Data,
    strategy: StrategyName = "map-elites",
    budget: Queries = 200,
    retrained: Retrained = None,
    decided: Decided = None,
    access: Seen = "scores",
    in_view: Annotated[
        list[str] | None,
        typer.Option(help="A watcher that the attacker sees: a detector, audit or clean; repeat."),
    ] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="A watcher that only judges the end; repeat.")
    ] = None,
    network: Victim = "cnn",
    epochs: Epochs = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    seed: Seed = 0,
    keep: Keep = None,
    llm: Llm = None,
    llm_limits: LlmLimits = "",
    dry_run: DryRun = False,
    i_own_this_data: Owned = False,
) -> None:
    """Search for poisonings of a data set that you own which our detectors miss.

    Models are trained for it in a temporary folder, which is deleted at the end.
    Exit code 0: none found that evades every watcher; 1: some did.
    Example: otoscope redteam speech/ --strategy map-elites --budget 200 --i-own-this-data
    """
    from otoscope.redteam import Campaign
    from otoscope.redteam.arena import IN_VIEW

    spent = _budget(budget, retrained, decided)
    client = client_of(llm, llm_limits) if llm else None
    watchers, seen = (tuple(in_view or IN_VIEW), tuple(held_out or ("audit",))), _access(access)
    with _arena(
        data, duration, fit, network, epochs, seed, watchers, seen, i_own_this_data
    ) as arena:
        campaign = Campaign(arena, spent, seen)
        if dry_run:
            _tell_plan(campaign, strategy, client)
            return
        found = _searched(campaign, strategy, seed, client)
    for one in found["decided"]:
        typer.echo(_line(one))
    evading = [one for one in found["decided"] if one["evades"]]
    worked = sum(one["works"] for one in found["decided"])
    typer.echo(
        f"{budget} attacks screened, {campaign.retrained} retrained, {len(found['decided'])} "
        f"decided; {worked} of these work, {len(evading)} evade every watcher"
    )
    if client:
        typer.echo(cost_line(client))
    if keep:
        _keep(keep, campaign, found)
    raise typer.Exit(1 if evading else 0)


@app.command()
def harden(
    data: Data,
    strategy: StrategyName = "map-elites",
    rounds: Annotated[int, typer.Option(help="Attack, choose, attack again: so many times.")] = 2,
    budget: Queries = 100,
    retrained: Retrained = None,
    decided: Decided = None,
    access: Seen = "scores",
    detector: Annotated[
        list[str] | None,
        typer.Option(help="A detector to choose from; repeat. Default: those that an audit runs."),
    ] = None,
    clean_models: Annotated[
        int, typer.Option(help="Models without poison a round, for false alarms.")
    ] = 3,
    network: Victim = "cnn",
    epochs: Epochs = None,
    duration: Duration = None,
    fit: Fit = FitRule.crop,
    seed: Seed = 0,
    keep: Annotated[Path | None, typer.Option(help="Keep rounds.json here; no audio.")] = None,
    i_own_this_data: Owned = False,
) -> None:
    """Choose the audit's detectors by what a red team found, and attack that audit again.

    Exit code 0: no attack of the last round evades the audit that was attacked in it; 1: some do.
    Example: otoscope harden speech/ --rounds 2 --budget 100 --i-own-this-data
    """
    from otoscope.detect import DEFAULT, OF_A_DELIVERED_MODEL
    from otoscope.redteam.hardening import harden as hardened

    spent = _budget(budget, retrained, decided)
    names, seen = tuple(detector or (*DEFAULT, *OF_A_DELIVERED_MODEL)), _access(access)
    with _arena(
        data, duration, fit, network, epochs, seed, ((), ()), seen, i_own_this_data
    ) as arena:
        told = hardened(
            arena,
            strategy,
            spent,
            names,
            rounds=rounds,
            clean_models=clean_models,
            access=seen,
        )
    for one in told:
        typer.echo(
            f"round {one.number + 1}: {one.evasion.evaded} of {one.evasion.worked} attacks evade "
            f"{one.watcher}, {one.false_alarms} false alarms on {one.clean_models} clean models; "
            f"{one.after.evaded} evade {one.chosen}"
        )
    if keep:
        _write(keep / "rounds.json", {"owned": True, "rounds": [asdict(one) for one in told]})
    raise typer.Exit(1 if told[-1].evasion.evaded else 0)


@contextmanager
def _arena(
    data: Path,
    duration: float | None,
    fit: FitRule,
    network: str,
    epochs: int | None,
    seed: int,
    watchers: tuple[tuple[str, ...], tuple[str, ...]],
    access: "Access",
    owned: bool,
) -> Iterator["Arena"]:
    """An arena on DATA whose trained models lie in a folder that is deleted afterwards."""
    from otoscope.cache import Cache
    from otoscope.clips import Clips
    from otoscope.datasets import Splits
    from otoscope.networks import NETWORKS
    from otoscope.redteam import Arena
    from otoscope.registry import build
    from otoscope.training import Recipe

    if not owned:
        raise SpecError(
            "the red team attacks only data that you own or may attack; if DATA is that, say so: "
            "--i-own-this-data"
        )
    clips = Clips.load(data, duration_s=duration, fit=fit.value)
    tell_skipped(clips)
    with tempfile.TemporaryDirectory(prefix="otoscope-redteam-") as folder:
        yield Arena(
            Splits.drawn(clips, seed),
            build(NETWORKS, network),
            seed,
            *watchers,
            recipe=None if epochs is None else Recipe(epochs=epochs),
            hides=access == "white-box",
            cache=Cache(Path(folder)),
        )


def _searched(
    campaign: "Campaign", strategy: str, seed: int, client: "Client | None"
) -> dict[str, Any]:
    """Run the search; what was decided, as plain JSON values."""
    import numpy as np

    from otoscope.redteam import search, strategy_named
    from otoscope.redteam.context import Context
    from otoscope.redteam.strategies import LanguageModel

    arena = campaign.arena
    searcher = strategy_named(strategy, arena.space, Context.of(campaign), client)
    search(campaign, searcher, np.random.default_rng(seed))
    everyone = (*arena.in_view, *arena.held_out)
    decided = [
        {
            "bins": bins,
            "attack": arena.space.told(bins),
            "works": outcome.works(arena.bounds),
            "evades": outcome.evades(everyone, arena.bounds),
            **asdict(outcome),
        }
        for bins, outcome in campaign.outcomes.items()
        if outcome and outcome.stage == "decided"
    ]
    return {
        "data_sha256": arena.splits.train.sha256,
        "owned": True,
        "strategy": strategy,
        "access": campaign.access,
        "budget": asdict(campaign.budget),
        "bounds": asdict(arena.bounds),
        "decided": decided,
        "language_model": searcher.report() if isinstance(searcher, LanguageModel) else None,
    }


def _line(one: dict[str, Any]) -> str:
    caught = [name for name, suspicion in one["suspicion"].items() if suspicion >= 1]
    return (
        f"{one['attack']['trigger']['name']}, {one['attack']['labels']['name']}, rate "
        f"{one['attack']['rate']:g}: success {one['success']:.2f}, accuracy lost "
        f"{one['accuracy_drop']:.3f}, distance {one['spectral_distance_db']:.1f} dB; caught by "
        f"{', '.join(caught) or 'nobody'}"
    )


def _tell_plan(campaign: "Campaign", strategy: str, client: "Client | None") -> None:
    """All that a strategy would be told before the first attack, then what would be done.

    Of a language model, all that would be sent to it.
    """
    from otoscope.redteam import strategy_named
    from otoscope.redteam.context import Context
    from otoscope.redteam.strategies import LanguageModel

    arena = campaign.arena
    plan = {
        "grid": arena.space.grid(),
        "strategy": strategy,
        "access": campaign.access,
        "budget": asdict(campaign.budget),
        "bounds": asdict(arena.bounds),
        "in_view": arena.in_view,
        "held_out": arena.held_out,
        "context": asdict(Context.of(campaign)),
    }
    searcher = strategy_named(strategy, arena.space, Context.of(campaign), client)
    if isinstance(searcher, LanguageModel):
        plan = {"payload": searcher.payload(campaign.trials), **plan}
    lines = json_text(plan).rstrip()
    # lists of numbers on one line; no string holds a bare line break
    typer.echo(re.sub(r"\[\n[\s\d.,eE+-]+\]", lambda found: " ".join(found[0].split()), lines))


def _keep(folder: Path, campaign: "Campaign", found: dict[str, Any]) -> None:
    """``log.jsonl``, a line for each query as the attacker was told, and ``findings.json``."""
    from otoscope.cache import write_atomically

    lines = [json_text(asdict(one), lines=False) for one in campaign.trials]
    write_atomically(folder / "log.jsonl", "".join(lines))
    _write(folder / "findings.json", found)


def _write(path: Path, content: Any) -> None:
    from otoscope.cache import write_atomically

    write_atomically(path, json_text(content))
    typer.echo(f"kept: {path}")


def _budget(screened: int, retrained: int | None, decided: int | None) -> "Budget":
    """What the three options say; what is not given follows from what is."""
    from otoscope.redteam import Budget

    if retrained is None:
        retrained = max(screened // 10, decided or 1)
    return Budget(screened, retrained, min(3, retrained) if decided is None else decided)


def _access(name: str) -> "Access":
    from otoscope.redteam.outcomes import ACCESS

    if name not in ACCESS:
        raise SpecError(f"expected --access to be one of {', '.join(ACCESS)}, got {name!r}")
    return name
