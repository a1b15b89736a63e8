"""Arabic Speech Commands: one-second spoken commands by 30 speakers, ten takes each.

Published by A. Ghandoura, F. Hjabo and O. Al Dakkak, *Building and Benchmarking an Arabic Speech
Commands Dataset for Small-Footprint Keyword Spotting* (2021) under CC BY 4.0. Download it yourself;
nothing is fetched here. Read are ``train.csv``, ``val.csv`` and ``test.csv`` with the columns path,
label, speaker (speaker-disjoint), and recordings called ``<speaker>_NO_<take>.<ending>``.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.datasets.base import Dataset, Splits, labelled, set_apart
from otoscope.errors import ManifestError
from otoscope.manifests import Manifest, read_manifest

LISTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
SPLIT_OF_TAKE = dict.fromkeys(range(1, 7), "train") | {7: "validation", 8: "trusted"}


@dataclass(frozen=True)
class ArabicSpeechCommands(Dataset):
    """Keyword spotting in the folder ``root``; ``seed`` draws the trusted clips.

    The splits are the data set's own and share no speaker, except that trusted, 10 clips a
    command, is drawn from its validation speakers; validation is the rest of theirs.
    """

    name: ClassVar[str] = "arabic-speech-commands"
    root: str
    seed: int = 0

    def load(self, cache: Cache | None = None) -> Splits:
        """Read the folder. Raises ``ManifestError`` when it has another layout."""
        return _splits(set_apart(_lists(Path(self.root)), self.seed))


@dataclass(frozen=True)
class ArabicSpeakers(Dataset):
    """Speaker identification on the same recordings: the label is the speaker.

    Takes 1-6 of every command train, 7 validates, 8 is trusted, 9 and later test. All takes come
    from one session, so accuracy here is optimistic.
    """

    name: ClassVar[str] = "arabic-speakers"
    root: str

    def load(self, cache: Cache | None = None) -> Splits:
        """Read the folder. Raises ``ManifestError`` when it has another layout."""
        manifest = _lists(Path(self.root))
        splits = [SPLIT_OF_TAKE.get(_take(row.path), "test") for row in manifest.rows]
        speakers = [row.speaker for row in manifest.rows]
        return _splits(replace(manifest, rows=labelled(manifest.rows, speakers, splits)))


def arabic_speech_commands(root: str | Path, seed: int = 0) -> Splits:
    """Arabic Speech Commands from a local folder, labelled by command."""
    return ArabicSpeechCommands(str(root), seed).load()


def arabic_speakers(root: str | Path) -> Splits:
    """Arabic Speech Commands from a local folder, labelled by speaker."""
    return ArabicSpeakers(str(root)).load()


def _lists(folder: Path) -> Manifest:
    """The three lists as one manifest with their split on each row."""
    parts = {split: read_manifest(folder / name) for split, name in LISTS.items()}
    return Manifest(
        folder,
        tuple(replace(row, split=split) for split, part in parts.items() for row in part.rows),
        tuple(skipped for part in parts.values() for skipped in part.skipped),
    )


def _take(path: str) -> int:
    found = re.search(r"_NO_(\d+)$", Path(path).stem)
    if found is None:
        raise ManifestError(f"{path}: expected a name like 00000014_NO_03.flac, to know its take")
    return int(found[1])


def _splits(manifest: Manifest) -> Splits:
    return Splits.of(Clips.of(manifest, sample_rate=16_000, duration_s=1.0))
