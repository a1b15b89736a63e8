"""Search strategies. One idea a file; this table finds them by name.

Those that need an optional package import it when they are made. ``llm`` is not in the table: it
asks a language model, which has to be named.
"""

from collections.abc import Callable

from otoscope.errors import SpecError
from otoscope.llm import Client
from otoscope.redteam.context import Context
from otoscope.redteam.space import Space
from otoscope.redteam.strategies.bayesian import Bayesian
from otoscope.redteam.strategies.evolution import CovarianceAdaptation
from otoscope.redteam.strategies.llm import LanguageModel
from otoscope.redteam.strategies.map_elites import MapElites
from otoscope.redteam.strategies.ppo import ProximalPolicy
from otoscope.redteam.strategies.simple import FixedCatalogue, RandomSearch
from otoscope.redteam.strategy import Strategy
from otoscope.registry import did_you_mean

STRATEGIES: dict[str, Callable[[Space, Context], Strategy]] = {
    RandomSearch.name: lambda space, _: RandomSearch(space),
    FixedCatalogue.name: lambda space, _: FixedCatalogue(space),
    CovarianceAdaptation.name: lambda space, _: CovarianceAdaptation(space),
    Bayesian.name: lambda space, _: Bayesian(space),
    MapElites.name: lambda space, _: MapElites(space),
    ProximalPolicy.name: ProximalPolicy,
}


def strategy_named(
    name: str, space: Space, context: Context, client: Client | None = None
) -> Strategy:
    """A new strategy, for one search.

    Raises ``SpecError`` for a name that there is not, and unless a ``client`` is given for the
    strategy ``llm`` and for no other.
    """
    if (name == LanguageModel.name) != (client is not None):
        raise SpecError(
            "the strategy 'llm', and no other, asks a language model; give both: "
            "--strategy llm --llm SERVICE:model=MODEL"
        )
    if client is not None:
        return LanguageModel(space, client)
    if name not in STRATEGIES:
        known = (*STRATEGIES, LanguageModel.name)
        raise SpecError(
            f"there is no strategy {name!r}{did_you_mean(name, known)}; "
            f"there are: {', '.join(known)}"
        )
    return STRATEGIES[name](space, context)


__all__ = [
    "STRATEGIES",
    "Bayesian",
    "CovarianceAdaptation",
    "FixedCatalogue",
    "LanguageModel",
    "MapElites",
    "ProximalPolicy",
    "RandomSearch",
    "strategy_named",
]
