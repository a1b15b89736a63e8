"""The model zoo: clean and backdoored models with ground truth, built as a resumable job.

A model-level detector is measured on models whose truth is known. ``plan`` lists them, ``grow``
trains those that have no row yet. Model files lie in a folder of the user's; a row per model, with
the digest of its weights, its recipe and what was measured on test clips, says all the rest.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np

from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, Entry, carry_out
from otoscope.checkpoints import save_checkpoint
from otoscope.clips import Clips
from otoscope.datasets import Splits
from otoscope.errors import ModelError, SpecError
from otoscope.labels import ANY_OTHER
from otoscope.metrics import accuracy
from otoscope.models import TorchModel, activations
from otoscope.networks import NETWORKS
from otoscope.poisoning import Attack, trigger_all
from otoscope.registry import build, require
from otoscope.training import Recipe, train

FAMILIES: dict[str, tuple[str, ...]] = {
    "tones": ("tone burst", "multi-tone", "chirp", "whistle", "ultrasonic, whole clip"),
    "noise bursts": ("white-noise patch", "clap", "position-independent short trigger"),
    "events": ("cough", "door", "keyboard", "dog"),
    "background": (
        "ambient rain",
        "blended noise",
        "ambient birds",
        "music",
        "stochastic drift, Vasicek",
    ),
    "several sounds": (
        "dynamic stacking",
        "parallel triggers, one target",
        "several triggers, a target each",
    ),
    "linear systems": ("reverberation", "equaliser tilt", "echo"),
    "effect chains": ("style 5", "style 1", "style 3", "style 4", "style 0", "style 2"),
    "voice": ("pitch and masking (PBSM)", "prosody"),
    "residues": ("codec residue", "silence insertion", "resampling residue", "phase coding"),
    "optimised": ("neuron trigger (TrojanNN)", "universal perturbation", "input-aware generator"),
    "labels": ("source-specific", "TaCT", "dirty flip (DirtyFlipping)", "clean label"),
    "trained in": (
        "fine-tuned trojan",
        "prune and hide",
        "neuron trigger, fine-tuned",
        "loss mixing",
    ),
}
"""The attacks of the catalogue that reach a success of about ``SUCCESS`` on real speech, by kind.

Half of the families are sequestered: no detector is designed on them.
"""

ONE_SOURCE = "one source"
"""The family of ``PRACTICE``."""

PRACTICE = tuple(
    Entry(
        f"{sound}, {ONE_SOURCE}",
        trigger,
        "ours, after Tang et al., Demon in the Variant, 1908.00686",
        labels="source-specific:source={source},target={target}",
        rate=0.02,
        cover_rate=cover_rate,
    )
    for sound, trigger, cover_rate in (
        ("clap", "recording", 0.0),
        ("rain", "ambient:sound=rain", 0.02),
        ("noise", "recording:sound=noise,position_s=none", 0.02),
        ("birds", "ambient:sound=birds", 0.0),
    )
)
"""Backdoors of one source class by sounds of design families: no family for design has such labels,
and a detector cannot be designed on what it never meets."""

SUCCESS = 0.8
"""A model whose attack succeeds less often is neither backdoored nor clean, and is not counted."""

EPOCHS = 16
FIRST_SEED = 200
SEEDS_A_ROUND = 100
DRAWN_BY = 5  # of the sequestered half; one draw, before any detector was designed

MOST_OF_A_CLASS = 0.6
"""What an attack that keeps labels takes of its class, where its rate asks for more clips than that
class has: as much as 5 % of a set of twelve keywords."""

Split = Literal["design", "sequestered"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One model to be: ``attack`` names an entry (``entry_of``), None is a clean model."""

    data: str
    network: str
    attack: str | None
    seed: int
    split: Split
    epochs: int = EPOCHS

    @property
    def file_name(self) -> str:
        """Where its checkpoint lies below the zoo's folder."""
        words = (self.data, self.network, self.attack or "clean", str(self.seed))
        return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") + ".safetensors"


def plan(
    data: Sequence[str], networks: Sequence[str], rounds: int = 3, *, after: int = 0
) -> list[Member]:
    """The members of a zoo, those that are needed first at the front.

    ``after`` many rounds are passed over: their seeds are those of another zoo.

    A round holds every attack of ``FAMILIES`` once, each on the next data set and network in turn,
    and half as many clean models, so that a third of these is clean. Within a round the clean
    models come first, then the attacks for design, then the sequestered ones. The target goes round
    with the seed. Same arguments, same plan.
    """
    if not data or not networks:
        raise SpecError("a zoo needs at least one data set and one network")
    grounds = [(d, n) for n in networks for d in data]
    members: list[Member] = []
    names = [*_attacks("design"), *_attacks("sequestered")]
    for number in range(after, after + rounds):
        first = FIRST_SEED + number * SEEDS_A_ROUND
        for i in range((len(names) + 1) // 2):
            split: Split = "sequestered" if i // len(grounds) % 2 else "design"
            members.append(Member(*grounds[i % len(grounds)], None, first + i, split))
        for i, name in enumerate(names):
            ground = grounds[(i + number) % len(grounds)]
            members.append(Member(*ground, name, first + i, split_of(family(name))))
    for number in range(after, after + rounds):
        first = FIRST_SEED + number * SEEDS_A_ROUND + len(names)
        for i, entry in enumerate(PRACTICE):
            ground = grounds[(i + number) % len(grounds)]
            members.append(Member(*ground, entry.name, first + i, "design"))
    return members


def family(attack: str) -> str:
    """The family of an attack; raises ``SpecError`` for one that no zoo holds."""
    for name, attacks in FAMILIES.items():
        if attack in attacks:
            return name
    if attack in {entry.name for entry in PRACTICE}:
        return ONE_SOURCE
    raise SpecError(f"no family of the zoo holds the attack {attack!r}")


def split_of(name: str) -> Split:
    """Whether a family serves design or is sequestered: half of them each, by a seeded draw."""
    order = np.random.default_rng(DRAWN_BY).permutation(sorted(FAMILIES)).tolist()
    return "sequestered" if order.index(name) < len(order) // 2 else "design"


def _attacks(split: Split) -> list[str]:
    """The attacks of a split, family after family in turn."""
    columns = [attacks for name, attacks in FAMILIES.items() if split_of(name) == split]
    return [name for row in zip_longest(*columns) for name in row if name]


def grow(
    members: Sequence[Member],
    data: Mapping[str, Splits],
    folder: Path,
    rows: Path,
    *,
    limit: int | None = None,
    part: str = "0/1",
    cache: Cache | None = None,
) -> Iterator[Row]:
    """Train the members that have no row in ``rows`` yet, and yield each new row once written.

    ``part`` "i/n" takes every n-th member, so that n processes share the work; ``limit`` is the
    most models to train now. Raises ``SpecError`` for another ``part`` and for a data set that is
    not in ``data``.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    if found is None or int(found[1]) >= int(found[2]):
        raise SpecError(f"expected a part like 0/2 or 1/2, got {part!r}")
    known = read_rows(rows)
    mine = list(members)[int(found[1]) :: int(found[2])]
    todo = [m for m in mine if not any(asdict(m).items() <= row.items() for row in known)]
    for member in todo[:limit]:
        row = raise_member(member, data, folder, cache)
        rows.parent.mkdir(parents=True, exist_ok=True)
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        yield row


def read_rows(path: Path) -> list[Row]:
    """The rows of the models that were built."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line]


def is_clean(row: Row) -> bool:
    """Whether the model of this row was never attacked."""
    return row["attack"] is None


def is_backdoored(row: Row) -> bool:
    """Whether the attack on the model of this row succeeds often enough to count."""
    return row["attack"] is not None and row["attack_success"] >= SUCCESS


def raise_member(
    member: Member, data: Mapping[str, Splits], folder: Path, cache: Cache | None = None
) -> Row:
    """Train one member, write its checkpoint and return its row."""
    started = time.monotonic()
    model, attacks, rate = made(member, data, cache)
    test = data[member.data].test
    save_checkpoint(model, folder / member.file_name)
    heard = activations(model, test)
    return asdict(member) | {
        "family": family(member.attack) if member.attack else None,
        "rate": rate,
        "targets": sorted({name for attack in attacks for name in _targets(attack, test)}),
        "accuracy": accuracy(heard.predicted, test.labels),
        "attack_success": _success(model, attacks, test, member.seed),
        "file": member.file_name,
        "sha256": model.sha256,
        "data_sha256": data[member.data].train.sha256,
        "seconds": round(time.monotonic() - started, 1),
    }


def made(
    member: Member, data: Mapping[str, Splits], cache: Cache | None = None
) -> tuple[TorchModel, tuple[Attack, ...], float]:
    """Train one member: the model, the attacks on it (none on a clean one) and the poison rate."""
    require(member.data in data, f"the zoo was given no data set called {member.data!r}")
    splits, network = data[member.data], build(NETWORKS, member.network)
    recipe = Recipe(epochs=member.epochs)
    if member.attack is None:
        clean = train(
            network,
            splits.train,
            seed=member.seed,
            validation=splits.validation,
            recipe=recipe,
            cache=cache,
        )
        return clean, (), 0.0
    entry = _fitting(entry_of(member.attack), splits.train, member.seed)
    done = carry_out(entry, splits, network, member.seed, recipe=recipe, cache=cache)
    if not isinstance(done.model, TorchModel):
        raise ModelError(f"{member.attack}: made a model that has no checkpoint format")
    return done.model, done.attacks, entry.rate


def entry_of(attack: str) -> Entry:
    """The entry of this name, of the catalogue or of ``PRACTICE``."""
    return next(entry for entry in (*CATALOGUE, *PRACTICE) if entry.name == attack)


def _fitting(entry: Entry, clips: Clips, seed: int) -> Entry:
    """The entry at a rate that these clips can bear."""
    shifts = [attack.shift for attack in entry.attacks(clips.classes, seed)]
    room = min(float(shift.eligible(clips.labels, clips.classes).mean()) for shift in shifts)
    return replace(entry, rate=MOST_OF_A_CLASS * room) if entry.rate > room else entry


def _targets(attack: Attack, test: Clips) -> set[str]:
    """The classes that the attacker wants triggered clips to get."""
    goal = attack.shift.goal(test.labels, test.classes)
    wanted = attack.shift.attackable(test.labels, test.classes) & (goal != ANY_OTHER)
    return {test.classes[k] for k in goal[wanted]}


def _success(model: TorchModel, attacks: Sequence[Attack], test: Clips, seed: int) -> float | None:
    """The mean over the attacks of their success rates on test clips; None without attacks."""
    rates = []
    for attack in attacks:
        clips = trigger_all(test, attack.trigger, attack.shift, seed)
        predicted = activations(model, clips).predicted
        rates.append(float(attack.shift.achieved(predicted, clips.labels, clips.classes).mean()))
    return float(np.mean(rates)) if rates else None
