"""The red team: attackers that search for poisonings which our own detectors miss.

It acts on local data and on models that the user owns; docs/redteam-policy.md says how. The
gymnasium environment is ``redteam.environment``, which needs the extra ``redteam``.
"""

from otoscope.redteam.arena import Arena
from otoscope.redteam.campaign import Budget, Campaign, search
from otoscope.redteam.outcomes import Bounds, Outcome
from otoscope.redteam.space import Plan, Space
from otoscope.redteam.strategies import STRATEGIES, strategy_named
from otoscope.redteam.strategy import Bins, Strategy, Trial

__all__ = [
    "STRATEGIES",
    "Arena",
    "Bins",
    "Bounds",
    "Budget",
    "Campaign",
    "Outcome",
    "Plan",
    "Space",
    "Strategy",
    "Trial",
    "search",
    "strategy_named",
]
