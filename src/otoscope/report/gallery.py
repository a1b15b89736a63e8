"""The page of all attacks: sound before and after, pictures, taxonomy, parameters, risks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from otoscope.cache import write_atomically
from otoscope.registry import spec
from otoscope.report.embed import Picture, Player, Sounds, small_spectrogram
from otoscope.report.page import environment
from otoscope.report.truth import value_text
from otoscope.risk import Perceptibility, Risks
from otoscope.triggers import Trigger

PAGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Attacked:
    """One attack that was carried out, and its risks."""

    name: str
    labels: str
    rate: float
    risks: Risks


@dataclass(frozen=True, eq=False)
class Shown:
    """One trigger: the attacks that use it, and a clip that carries it, shaped (time,)."""

    names: list[str]
    trigger: Trigger
    sources: list[str]
    samples: Float[np.ndarray, "time"]
    perceptible: Perceptibility
    attacked: list[Attacked]


@dataclass(frozen=True)
class _Card:
    """What the template shows of one trigger."""

    anchor: str
    title: str
    trigger: str
    marks: list[str]
    parameters: list[tuple[str, str]]
    sources: list[str]
    players: list[Player]
    pictures: list[tuple[str, Picture]]
    perceptible: Perceptibility
    attacked: list[Attacked]


def write_gallery(
    path: Path, clean: Float[np.ndarray, "time"], sample_rate: int, shown: Sequence[Shown]
) -> Path:
    """Write the gallery, whole or not at all; ``clean`` is the clip without any trigger."""
    sounds = Sounds(PAGE_BYTES, form="flac")
    before = sounds.player("the clip before", clean, sample_rate)
    picture = small_spectrogram(clean, sample_rate, "the clip before")
    cards = [_card(number, one, clean, sample_rate, sounds) for number, one in enumerate(shown)]
    page = (
        environment()
        .get_template("gallery.html.jinja")
        .render(cards=cards, before=before, picture=picture)
    )
    write_atomically(path, page)
    return path


def _card(number: int, one: Shown, clean: np.ndarray, sample_rate: int, sounds: Sounds) -> _Card:
    change = one.samples.astype(np.float64) - clean
    described = spec(one.trigger)
    return _Card(
        anchor=f"attack-{number}",
        title=one.names[0],
        trigger=described.pop("name"),
        marks=marks(one.trigger),
        parameters=[(key, value_text(value)) for key, value in described.items()],
        sources=one.sources,
        players=[
            sounds.player("after", one.samples, sample_rate),
            sounds.louder("the difference", change, sample_rate),
        ],
        pictures=[
            ("after", small_spectrogram(one.samples, sample_rate, f"{one.names[0]}, after")),
            ("difference", small_spectrogram(change, sample_rate, f"{one.names[0]}, difference")),
        ],
        perceptible=one.perceptible,
        attacked=one.attacked,
    )


def marks(trigger: Trigger) -> list[str]:
    """The survey's taxonomy in words."""
    kind = trigger.taxonomy
    return [
        kind.reach,
        kind.means,
        "audible" if kind.audible else "hidden",
        "optimised" if kind.optimised else "fixed",
        "sample-specific" if kind.sample_specific else "the same for all clips",
        "semantic" if kind.semantic else "not semantic",
        "tried over the air" if kind.physical else "digital",
    ]
