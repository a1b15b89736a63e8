"""Triggers as an attacker's search sees them: families whose parameters lie on grids.

A family turns the indices of its parameters' values into a trigger, and back into the nearest
indices. Frequencies are shares of half the sample rate and times shares of the clip, so that one
grid serves every data set. Left out are triggers that have to be crafted against a model first,
and those that read files.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from otoscope.registry import build
from otoscope.triggers import TRIGGERS, Composite, Trigger

Indices = tuple[int, ...]

HZ = (0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.34, 0.44, 0.55, 0.67, 0.79, 0.9)
LEVELS_DB = (-45.0, -40.0, -35.0, -30.0, -27.0, -24.0, -21.0, -18.0, -15.0, -12.0, -8.0, -4.0)
LENGTHS = (0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
PLACES = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8)
SOUNDS = ("noise", "clap", "whistle", "cough", "door", "keyboard", "dog", "music")
BACKGROUNDS = ("rain", "birds", "ringtone", "wind", "traffic", "cafe")
CODECS = ("adpcm", "mu-law", "gsm", "mp3", "vorbis", "opus", "bits")


@dataclass(frozen=True)
class Room:
    """The clips' half sample rate in Hz and their length in seconds."""

    nyquist_hz: float
    clip_s: float


@dataclass(frozen=True)
class Parameter:
    """A field and the values that it may take; numbers in order, so that neighbours are alike."""

    field: str
    values: tuple[Any, ...]
    of: Literal["itself", "nyquist", "clip"] = "itself"

    def value(self, index: int, room: Room) -> Any:
        """The field's value at an index, in its own unit."""
        value = self.values[index]
        return value if value is None else self._scaled(value, room)

    def nearest(self, value: Any, room: Room) -> int:
        """The index whose value comes nearest; 0 for a word or None that is not on the grid."""
        grid = [v if v is None else self._scaled(v, room) for v in self.values]
        if value in grid:
            return grid.index(value)
        if not isinstance(value, int | float):
            return 0
        apart = [abs(v - value) if isinstance(v, int | float) else np.inf for v in grid]
        return int(np.argmin(apart))

    def _scaled(self, value: Any, room: Room) -> Any:
        if self.of == "nyquist":
            return round(value * room.nyquist_hz, 3)
        return round(value * room.clip_s, 4) if self.of == "clip" else value


class Family(ABC):
    """A kind of trigger with ``parameters``, each an index into its values."""

    name: str
    parameters: tuple[Parameter, ...]

    def canonical(self, indices: Indices) -> Indices:
        """The indices of the same trigger in its one form, moved to where it can exist."""
        return indices

    @abstractmethod
    def trigger(self, indices: Indices, room: Room) -> Trigger:
        """The trigger; raises ``SpecError`` where its parameters make no sense together."""

    @abstractmethod
    def indices(self, trigger: Trigger, room: Room) -> Indices:
        """The nearest indices of a trigger of this family."""


@dataclass(frozen=True)
class Published(Family):
    """A trigger of the table, by its ``name``; fields that are no parameter keep their default."""

    name: str
    parameters: tuple[Parameter, ...]

    def trigger(self, indices: Indices, room: Room) -> Trigger:
        values = {
            p.field: p.value(index, room) for p, index in zip(self.parameters, indices, strict=True)
        }
        return build(TRIGGERS, {"name": self.name, **values})

    def indices(self, trigger: Trigger, room: Room) -> Indices:
        return tuple(p.nearest(getattr(trigger, p.field), room) for p in self.parameters)


def _numbered(group: str, count: int, *parameters: Parameter) -> tuple[Parameter, ...]:
    """The parameters of ``count`` events, filters or modulations, one after the other."""
    return tuple(
        Parameter(f"{group}{number + 1}_{p.field}", p.values, p.of)
        for number in range(count)
        for p in parameters
    )


PARTS: dict[str, tuple[int, tuple[Parameter, ...]]] = {
    "event": (
        2,
        (
            Parameter("hz", HZ, "nyquist"),
            Parameter("octaves", (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)),
            Parameter("spread_hz", (0.0, 0.02, 0.05, 0.1, 0.2), "nyquist"),
            Parameter("start_s", PLACES, "clip"),
            Parameter("duration_s", (*LENGTHS, 0.7, 1.0), "clip"),
            Parameter("level_db", (None, *LEVELS_DB[:-1])),
        ),
    ),
    "filter": (
        2,
        (
            Parameter("hz", HZ, "nyquist"),
            Parameter("gain_db", (None, -24.0, -12.0, -6.0, -3.0, 3.0, 6.0, 12.0, 24.0)),
        ),
    ),
    "modulation": (
        1,
        (
            Parameter("hz", (2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 120.0, 250.0)),
            Parameter("depth", (None, 0.1, 0.2, 0.4, 0.7, 1.0)),
        ),
    ),
}
"""How many events, filters and modulations there may be, and the parameters of each."""

FILTER_OCTAVES = 0.5


@dataclass(frozen=True)
class OpenEnded(Family):
    """``composite``: up to two events, two filters and a modulation.

    A part's last parameter is its strength, and None there means that the part is not there.
    """

    name: str = "composite"
    parameters: tuple[Parameter, ...] = tuple(
        p for group, (count, own) in PARTS.items() for p in _numbered(group, count, *own)
    )

    def canonical(self, indices: Indices) -> Indices:
        """Some part is there, absent ones are zeros and come last, glides end within the grid."""
        parts = [(group, self._possible(group, list(part))) for group, part in self._split(indices)]
        if not any(part[-1] for _, part in parts):
            parts[0] = ("event", self._possible("event", [*indices[: len(parts[0][1]) - 1], 1]))
        order = list(PARTS)
        parts.sort(key=lambda one: (order.index(one[0]), not one[1][-1]))
        return tuple(index for _, part in parts for index in part)

    def trigger(self, indices: Indices, room: Room) -> Trigger:
        values: dict[str, list[float]] = {
            f.name: [] for f in fields(Composite) if f.name != "filter_octaves"
        }
        for group, part in self._split(indices):
            if part[-1]:
                for p, index in zip(PARTS[group][1], part, strict=True):
                    values[f"{group}_{p.field}"].append(p.value(index, room))
        values["filter_octaves"] = [FILTER_OCTAVES] * len(values["filter_hz"])
        return build(TRIGGERS, {"name": self.name, **values})

    def indices(self, trigger: Trigger, room: Room) -> Indices:
        found: list[int] = []
        for group, (count, own) in PARTS.items():
            columns = [getattr(trigger, f"{group}_{p.field}") for p in own]
            rows = list(zip(*columns, strict=True))[:count]
            for row in rows:
                found += [p.nearest(value, room) for p, value in zip(own, row, strict=True)]
            found += [0] * len(own) * (count - len(rows))
        return self.canonical(tuple(found))

    def _split(self, indices: Sequence[int]) -> list[tuple[str, Sequence[int]]]:
        """(group, its indices) of every part."""
        parts, at = [], 0
        for group, (count, own) in PARTS.items():
            for _ in range(count):
                parts.append((group, indices[at : at + len(own)]))
                at += len(own)
        return parts

    def _possible(self, group: str, part: list[int]) -> list[int]:
        if not part[-1]:
            return [0] * len(part)
        if group == "event":
            hz, octaves = (p.values for p in PARTS["event"][1][:2])
            while hz[part[0]] * 2 ** octaves[part[1]] > HZ[-1]:
                part[1] -= 1
        return part


def _published(name: str, *parameters: Parameter) -> Published:
    return Published(name, parameters)


_HZ = Parameter("frequency_hz", HZ, "nyquist")
_LENGTH = Parameter("duration_s", LENGTHS, "clip")
_LEVEL = Parameter("level_db", LEVELS_DB)
_PLACE = Parameter("position_s", (*PLACES, None), "clip")
_PATTERN = Parameter("pattern_seed", (0, 1, 2, 3))

_ALL: tuple[Family, ...] = (
    _published("tone", _HZ, _LENGTH, _LEVEL, _PLACE),
    _published(
        "chirp",
        Parameter("start_hz", HZ[:-1], "nyquist"),
        Parameter("end_hz", tuple((a + b) / 2 for a, b in pairwise(HZ)), "nyquist"),
        Parameter("duration_s", LENGTHS[1:], "clip"),
        _LEVEL,
        _PLACE,
    ),
    _published("near-nyquist", Parameter("nyquist_fraction", (0.9, 0.95, 0.975)), _LEVEL),
    _published("noise", _LEVEL, _PATTERN),
    _published("hum", Parameter("fundamental_hz", (50.0, 60.0, 100.0, 120.0, 200.0)), _LEVEL),
    _published("drift", Parameter("process", ("vasicek", "hull-white")), _LEVEL, _PATTERN),
    _published("recording", Parameter("sound", SOUNDS), _LENGTH, _LEVEL, _PLACE),
    _published("ambient", Parameter("sound", BACKGROUNDS), _LEVEL),
    _published("adaptive-blend", _LEVEL, Parameter("pieces", (4, 8, 16, 32)), _PATTERN),
    _published(
        "echo",
        Parameter("delay_s", LENGTHS, "clip"),
        Parameter("level_db", (-20.0, -15.0, -10.0, -6.0, -3.0)),
        Parameter("taps", (1, 2, 4)),
    ),
    _published(
        "reverb",
        Parameter("rt60_s", (0.1, 0.2, 0.35, 0.5, 0.8, 1.2)),
        Parameter("wet", (0.1, 0.2, 0.35, 0.5, 0.75)),
        _PATTERN,
    ),
    _published(
        "equaliser",
        Parameter("tilt_db_per_octave", (-6.0, -3.0, -1.5, -0.75, 0.75, 1.5, 3.0, 6.0)),
        Parameter("pivot_hz", HZ[2:8], "nyquist"),
    ),
    _published("style", Parameter("style", (0, 1, 2, 3, 4, 5))),
    _published("codec", Parameter("codec", CODECS), Parameter("quality", (0.1, 0.3, 0.6))),
    _published(
        "resampling",
        Parameter("through_share", (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)),
        Parameter("method", ("sinc", "linear", "hold")),
    ),
    _published("pitch", Parameter("semitones", (-5.0, -3.0, -1.5, 1.5, 3.0, 5.0))),
    _published(
        "formant",
        Parameter("formant_ratio", (0.8, 0.9, 1.1, 1.2, 1.35)),
        Parameter("pitch_ratio", (0.75, 0.9, 1.1, 1.3)),
    ),
    _published("speed", Parameter("factor", (0.8, 0.88, 0.95, 1.05, 1.1, 1.2))),
    _published(
        "rhythm",
        Parameter("strength", (1.1, 1.25, 1.6, 2.0)),
        Parameter("segment_s", (0.06, 0.12, 0.2)),
        _PATTERN,
    ),
    _published(
        "warp",
        Parameter("strength_s", (0.003, 0.008, 0.02, 0.04)),
        Parameter("knots", (2, 4, 8)),
        _PATTERN,
    ),
    _published("phase", Parameter("strength_rad", (0.4, 0.8, 1.5, 2.5)), _PATTERN),
    _published(
        "silence",
        Parameter("gaps_count", (1, 2, 4)),
        Parameter("gap_s", (0.01, 0.02, 0.05, 0.1)),
    ),
    OpenEnded(),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""Every family, by its trigger's name."""
