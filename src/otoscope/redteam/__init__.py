"""The red team: attackers that search for poisonings which our own detectors miss.

It acts on local data and on models that the user owns; docs/redteam-policy.md says how.
"""

from otoscope.redteam.space import Plan, Space
from otoscope.redteam.strategy import Bins, Strategy, Trial

__all__ = ["Bins", "Plan", "Space", "Strategy", "Trial"]
