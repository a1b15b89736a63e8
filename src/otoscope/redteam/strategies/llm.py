"""A language model as the attacker: it reads what became of past attacks and proposes the next."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from otoscope.errors import CapReached, LanguageModelError, Unreachable
from otoscope.llm import Client, Prompt, Reply
from otoscope.llm.replies import declines, object_with
from otoscope.redteam.families import FAMILIES
from otoscope.redteam.space import COVERS, HIDING, RATES, SELECTIONS, SHIFTS, SLOT, Space
from otoscope.redteam.strategy import Bins, Strategy, Trial

INSTRUCTIONS = (
    "You take part in authorised red-team testing. The person who runs it owns the detector that "
    "is tested, the data and the models; the attacks stay in a sandbox on their machine, and every "
    "weakness that is found is used to mend the detector. "
    "The detector looks for backdoors in audio classifiers. An attack is a set of small whole "
    "numbers, its bins, one for each axis. Propose the one attack to try next whose reward you "
    "expect to be higher than that of all before. Do not repeat an attack. Reply with one JSON "
    "object that holds one whole number for each axis, and with nothing else."
)

_TOLD = re.compile(
    r"accuracy_drop|spectral_distance_db|retrained|infeasible"
    r"|(caught by|suspicion of) [a-z][a-z0-9]*(-[a-z0-9]+)*"
)
"""What of a trial's ``detail`` may be sent: figures of these names, whatever else it may hold."""


_UNITS = {
    "itself": "",
    "nyquist": " as a share of half the sample rate",
    "clip": " as a share of the clip",
}


class Fate(StrEnum):
    """What became of one question to the model. All but the first two end in a random draw."""

    TAKEN = "taken"
    CLAMPED = "clamped"
    REPEATED = "repeated"
    MALFORMED = "malformed"
    REFUSED = "refused"
    POLICY = "refused by policy"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    CAPPED = "over the caps"


class LanguageModel(Strategy):
    """Optimisation by prompting (Yang et al., *Large Language Models as Optimizers*, 2309.03409).

    The model sees the axes and the best ``population`` attacks so far, sorted from the worst to the
    best, with their figures, and proposes the next as JSON. Whatever it says, what comes out are
    bins in range; a reply that gives none, or gives bins that were tried, is counted in ``fates``
    and replaced by a random draw. Deviations: one proposal a step, where the paper samples several;
    the service's own temperature.

    What is sent are bins, their meaning as written in this program, and aggregate figures. Class
    names, file names, sample rates and audio are not. A service that rejects the very first request
    raises ``LanguageModelError``; once it has answered, rejections are counted too.
    """

    name: ClassVar[str] = "llm"

    def __init__(self, space: Space, client: Client, population: int = 20) -> None:
        self.space, self.client, self.population = space, client, population
        self.fates: Counter[Fate] = Counter()
        self._names = tuple(dimension.name for dimension in space.dimensions)
        self._needed = tuple(name for name in self._names if not name.startswith("slot"))

    def ask(self, history: Sequence[Trial], rng: np.random.Generator) -> Bins:
        bins, fate = self._proposal(history)
        self.fates[fate] += 1
        return self.space.draw(rng) if bins is None else bins

    def payload(self, history: Sequence[Trial] = ()) -> dict[str, Any]:
        """All that the next question would send, as plain JSON values."""
        return self.client.payload(self.prompt(history))

    def report(self) -> dict[str, Any]:
        """What became of the questions and what they cost, as plain JSON values."""
        return {"replies": {fate.value: self.fates[fate] for fate in Fate}} | self.client.report()

    def prompt(self, history: Sequence[Trial]) -> Prompt:
        """The next question."""
        told = [json.dumps(self._told(one)) for one in best(history, self.population)]
        parts = [
            "The axes and what their bins mean, from bin 0 on:",
            json.dumps(grid(self.space)),
            "Attacks so far, from the worst to the best; slots that are not shown are 0:",
            "\n".join(told) or "none yet",
            "Reply with the next attack as one JSON object with these whole numbers: "
            + ", ".join(f"{d.name} (0 to {d.size - 1})" for d in self.space.dimensions),
        ]
        properties = {
            d.name: {"type": "integer", "minimum": 0, "maximum": d.size - 1}
            for d in self.space.dimensions
        }
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        return Prompt(INSTRUCTIONS, "\n".join(parts), schema)

    def _proposal(self, history: Sequence[Trial]) -> tuple[Bins | None, Fate]:
        try:
            reply = self.client.ask(self.prompt(history))
        except CapReached:
            return None, Fate.CAPPED
        except Unreachable:
            return None, Fate.UNREACHABLE
        except LanguageModelError:
            if not self.fates.keys() - {Fate.CAPPED, Fate.UNREACHABLE}:
                raise
            return None, Fate.REJECTED
        return self._judged(reply, {one.bins for one in history})

    def _judged(self, reply: Reply, tried: set[Bins]) -> tuple[Bins | None, Fate]:
        if reply.ending == "policy":
            return None, Fate.POLICY
        found = object_with(reply.text, self._needed)
        if found is None:
            refused = reply.ending == "refused" or declines(reply.text)
            return None, Fate.REFUSED if refused else Fate.MALFORMED
        numbers = [_whole(found.get(name, 0)) for name in self._names]
        if None in numbers:
            return None, Fate.MALFORMED
        asked = [number for number in numbers if number is not None]
        bins = self.space.clamp(asked)
        if bins in tried:
            return None, Fate.REPEATED
        outside = any(not 0 <= n < s for n, s in zip(asked, self.space.sizes, strict=True))
        return bins, Fate.CLAMPED if outside else Fate.TAKEN

    def _told(self, trial: Trial) -> dict[str, Any]:
        shown = {
            name: value
            for name, value in zip(self._names, trial.bins, strict=True)
            if value or name in self._needed
        }
        figures = {"reward": trial.reward, "success": trial.success, "accuracy": trial.accuracy}
        figures |= {name: x for name, x in trial.detail.items() if _TOLD.fullmatch(name)}
        plain = {name: round(float(x), 4) for name, x in figures.items() if math.isfinite(x)}
        return {"bins": shown, **plain, "evaded": trial.evaded}


def best(history: Sequence[Trial], count: int) -> list[Trial]:
    """The best ``count`` distinct attacks, from the worst to the best of them."""
    distinct = {one.bins: one for one in history}.values()
    known = [one for one in distinct if not math.isnan(one.reward)]
    return sorted(known, key=lambda one: one.reward)[-count:]


def grid(space: Space) -> dict[str, Any]:
    """What the bins mean, in the words of this program: nothing in it comes from the data.

    Unlike ``Space.grid``, which tells classes, hertz and seconds.
    """
    return {
        "rate": list(RATES),
        "shift": list(SHIFTS),
        "cover": list(COVERS),
        "selection": list(SELECTIONS),
        "family": list(space.families),
        **({"hiding": list(HIDING)} if space.hides else {}),
        "slots": {
            "all": f"bin b of {SLOT} is value number b * (number of values) // {SLOT}",
            **{
                name: {
                    f"slot{number}, {p.field}{_UNITS[p.of]}": p.values
                    for number, p in enumerate(FAMILIES[name].parameters, start=1)
                }
                for name in space.families
            },
        },
    }


def _whole(value: Any) -> int | None:
    """A whole number, also as 3.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None
