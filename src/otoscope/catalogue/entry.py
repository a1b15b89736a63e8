"""The published attacks as settings of our triggers, label shifts and training attacks.

An ``Entry`` is one row: what to do, who published it and which figures they report. ``carry_out``
does it on any data set and network, and returns the model with what is needed to measure it. The
benchmark, the gallery and the red team read this list; nothing else says what "all attacks" are.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.crafting import craft
from otoscope.datasets import Splits
from otoscope.errors import PoisonError
from otoscope.labels import LABEL_SHIFTS
from otoscope.models import AudioModel
from otoscope.networks import Network
from otoscope.poisoning import Attack, Poisoned, poison_all
from otoscope.registry import build
from otoscope.selection import filter_and_update, hardness
from otoscope.training import HowTrained, Recipe, train
from otoscope.training_attacks import TRAINING_ATTACKS
from otoscope.triggers import TRIGGERS

Selection = Literal["random", "hardest", "filter-and-update"]
ALL_TO_ONE = "all-to-one:target={target}"

SURROGATE_SEED = 1000
"""Added to the seed of a surrogate, for an attacker does not know the victim's first weights."""


@dataclass(frozen=True)
class Entry:
    """One published attack.

    ``trigger`` and ``labels`` are specs in text; in ``labels``, ``{target}``, ``{source}`` and
    ``{other}`` stand for class names of the data set at hand. ``also`` holds further pairs of
    trigger and labels that are planted beside, at the same rate. ``training`` is the spec of a
    training attack; with it no clip is poisoned and ``rate`` is 0. ``reported_asr`` is the success
    rate that the source gives, ``reported`` its circumstances, ``shortfall`` why ours stays
    far below it, where it does.
    """

    name: str
    trigger: str
    source: str
    labels: str = ALL_TO_ONE
    rate: float = 0.05
    cover_rate: float = 0.0
    selection: Selection = "random"
    also: tuple[tuple[str, str], ...] = ()
    training: str | None = None
    reported_asr: float | None = None
    reported: str = ""
    shortfall: str = ""

    def attacks(self, classes: tuple[str, ...], seed: int) -> tuple[Attack, ...]:
        """The attacks on a data set with these classes; the target goes round with the seed."""
        names = roles(classes, seed)
        return tuple(
            Attack(
                build(TRIGGERS, trigger),
                build(LABEL_SHIFTS, labels.format(**names)),
                self.rate,
                self.cover_rate,
            )
            for trigger, labels in ((self.trigger, self.labels), *self.also)
        )


def roles(classes: tuple[str, ...], seed: int) -> dict[str, str]:
    """Which class is the target, the source and the other target, so that none is special."""
    start = 5 * seed + 1
    return {
        role: classes[(start + step) % len(classes)]
        for role, step in (("target", 0), ("source", 4), ("other", 7))
    }


@dataclass(frozen=True, eq=False)
class CarriedOut:
    """An attack that was carried out: the model, and the attacks that it stands for.

    ``poisoned`` is None where training was attacked and no clip was poisoned.
    """

    model: AudioModel
    attacks: tuple[Attack, ...]
    poisoned: Poisoned | None


def carry_out(
    entry: Entry,
    splits: Splits,
    network: Network,
    seed: int,
    *,
    recipe: Recipe | None = None,
    device: str = "cpu",
    cache: Cache | None = None,
) -> CarriedOut:
    """Poison and train as ``entry`` says; same arguments, same model.

    Triggers that are made against a model are crafted on one of the same network.
    Raises what its steps raise, and ``PoisonError`` for a data set with fewer than three classes.
    """
    train_set = splits.train
    if len(train_set.classes) < 3:
        raise PoisonError(f"the catalogue needs at least 3 classes, got {len(train_set.classes)}")

    how: HowTrained = {
        "seed": seed,
        "validation": splits.validation,
        "recipe": recipe,
        "device": device,
        "cache": cache,
    }
    attacks = tuple(
        _ready(attack, train_set, network, how) for attack in entry.attacks(train_set.classes, seed)
    )
    first = attacks[0]
    if entry.training is not None:
        attack = build(TRAINING_ATTACKS, entry.training)
        made = attack.run(network, train_set, first.trigger, first.shift, **how)
        return CarriedOut(made, attacks, None)
    preference = _preference(entry, first, train_set, network, how)
    bad = poison_all(train_set, attacks, seed, preference=preference)
    return CarriedOut(train(network, bad.clips, **how), attacks, bad)


def _ready(attack: Attack, clips: Clips, network: Network, how: HowTrained) -> Attack:
    """The attack with its trigger crafted, where it has to be, on a surrogate of another seed."""
    aside: HowTrained = {**how, "seed": SURROGATE_SEED + how["seed"]}
    return replace(
        attack, trigger=craft(attack.trigger, clips, attack.shift, network=network, **aside)
    )


def _preference(
    entry: Entry, attack: Attack, clips: Clips, network: Network, how: HowTrained
) -> np.ndarray | None:
    """The scores by which clips are chosen, where the entry chooses any."""
    if entry.selection == "hardest":
        return hardness(train(network, clips, **how), clips, how.get("cache"))
    if entry.selection == "filter-and-update":
        return filter_and_update(
            clips, attack.trigger, attack.shift, attack.rate, network=network, **how
        )
    return None
