"""The gallery: every attack of the catalogue to hear, to see and to compare, on the demo speech.

The sounds and pictures are made from one spoken word; the risks are those of a network trained on
synthesised speech, which tells little of real speech (that is in docs/attacks.md).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from otoscope.cache import Cache
from otoscope.catalogue import CATALOGUE, Entry, carry_out
from otoscope.crafting import craft
from otoscope.datasets import Splits
from otoscope.networks import CNN
from otoscope.poisoning import triggered
from otoscope.progress import track
from otoscope.registry import text
from otoscope.report.gallery import Attacked, Shown, write_gallery
from otoscope.risk import perceptibility, risks


def gallery(
    path: Path,
    splits: Splits,
    *,
    entries: Sequence[Entry] = CATALOGUE,
    train: bool = True,
    seed: int = 0,
    cache: Cache | None = None,
) -> Path:
    """Write the page to ``path``; returns it.

    With ``train``, each entry is carried out with a CNN and its risks are on the page (a model per
    entry, cached); without, only how its trigger sounds and how perceptible it is. Entries that
    share a trigger share a card.
    """
    shown = list(_shown(splits, entries, train, seed, cache))
    return write_gallery(path, splits.test.waveform(0), splits.test.sample_rate, shown)


def _shown(
    splits: Splits, entries: Sequence[Entry], train: bool, seed: int, cache: Cache | None
) -> Iterator[Shown]:
    network, test = CNN(), splits.test
    cards: dict[str, list[Entry]] = {}
    for entry in entries:
        cards.setdefault(entry.trigger, []).append(entry)
    for group in track(list(cards.values()), "carrying out attacks", len(cards)):
        first = group[0].attacks(test.classes, seed)[0]
        trigger = craft(first.trigger, splits.train, first.shift, seed=seed, cache=cache)
        attacked = []
        for entry in group if train else []:
            done = carry_out(entry, splits, network, seed, cache=cache)
            attack = done.attacks[0]
            measured = risks(done.model, test, attack.trigger, attack.shift, seed, cache=cache)
            attacked.append(Attacked(entry.name, text(attack.shift), entry.rate, measured))
        yield Shown(
            [entry.name for entry in group],
            first.trigger,  # without the path of what was crafted: the page is for others, too
            sorted({entry.source for entry in group}),
            triggered(test, trigger, 0, seed),
            attacked[0].risks.perceptible if attacked else perceptibility(test, trigger, seed),
            attacked,
        )
