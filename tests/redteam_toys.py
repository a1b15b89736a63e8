"""An arena whose outcomes are a formula, so that a search takes milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from otoscope.datasets import Splits
from otoscope.errors import PoisonError
from otoscope.networks import CNN
from otoscope.redteam.arena import Arena
from otoscope.redteam.outcomes import Bounds, Outcome, over_seeds
from otoscope.redteam.space import Space
from otoscope.redteam.strategy import Bins
from sounds import clips_of

CLIPS = clips_of("abcdefghijkl" * 20, seconds=0.2)
FAMILIES = ("tone", "noise", "echo", "composite")


@dataclass(eq=False)
class Hill:
    """Success grows with the rate; suspicion falls with the third slot; "echo" is impossible.

    Counts what it was asked for.
    """

    space: Space = field(default_factory=lambda: Space.of(CLIPS, seed=0, families=FAMILIES))
    in_view: tuple[str, ...] = ("vouching",)
    held_out: tuple[str, ...] = ("clean",)
    bounds: Bounds = field(default_factory=Bounds)
    seed: int = 0
    network: CNN = field(default_factory=CNN)
    hides: bool = False
    screened: list[Bins] = field(default_factory=list)
    retrained: list[tuple[Bins, int]] = field(default_factory=list)

    @property
    def first_seed(self) -> int:
        return 1 + self.seed * 1000

    @property
    def splits(self) -> Splits:
        return cast(Splits, SimpleNamespace(train=CLIPS))

    def screen(self, bins: Bins, before: Sequence[Bins] = ()) -> Outcome:
        self.screened.append(bins)
        return self._outcome(bins, 0, (), before)

    def retrain(
        self, bins: Bins, seed: int, watchers: Sequence[str], before: Sequence[Bins] = ()
    ) -> Outcome:
        self.retrained.append((bins, seed))
        return self._outcome(bins, seed, watchers, before)

    def decide(self, bins: Bins, seeds: Sequence[int]) -> Outcome:
        everyone = (*self.in_view, *self.held_out)
        return over_seeds([self.retrain(bins, seed, everyone) for seed in seeds])

    def _outcome(
        self, bins: Bins, seed: int, watchers: Sequence[str], before: Sequence[Bins] = ()
    ) -> Outcome:
        if self.space.family(bins).name == "echo":
            raise PoisonError("no echo here")
        suspicion = 2 * (1 - bins[7] / 11)
        return Outcome(
            success=sum(min(1.0, b[0] / 5) for b in (*before, bins)) / (1 + len(before)),
            accuracy=0.95,
            accuracy_drop=0.01,
            spectral_distance_db=float(bins[5]),
            snr_db=20.0,
            stage="retrained" if watchers else "screened",
            seeds=(seed,),
            suspicion=dict.fromkeys(watchers, suspicion),
        )


def hill(**fields: Any) -> Arena:
    """A ``Hill`` where an arena is wanted."""
    return cast(Arena, Hill(**fields))
