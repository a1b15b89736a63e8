"""LibriSpeech for speaker identification: read English, several seconds an utterance.

Published with V. Panayotov et al., *LibriSpeech: an ASR corpus based on public domain audio books*
(ICASSP 2015) at openslr.org/12 under CC BY 4.0. Download a part of it yourself; nothing is fetched
here. Read is a folder per speaker, with or without chapter folders inside.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.datasets.base import Dataset, Splits, labelled
from otoscope.errors import ManifestError
from otoscope.manifests import read_manifest
from otoscope.registry import require

SHARES = (("test", 0.2), ("trusted", 0.1), ("validation", 0.1))
"""Share of every speaker's utterances, from the last one backwards; the rest trains."""


@dataclass(frozen=True)
class LibriSpeechSpeakers(Dataset):
    """Speakers in the folder ``root``, cut into windows of ``duration_s`` seconds.

    Splits go by utterance, in order of their names, before they are cut: no utterance has windows
    in two of them. Speakers are the classes, so they are the same in all four.
    """

    name: ClassVar[str] = "librispeech-speakers"
    root: str
    duration_s: float = 2.0

    def __post_init__(self) -> None:
        require(self.duration_s > 0, f"duration_s must be above 0, got {self.duration_s}")

    def load(self, cache: Cache | None = None) -> Splits:
        """Read the folder. Raises ``ManifestError`` for a speaker with under four utterances."""
        manifest = read_manifest(Path(self.root))
        by_speaker: dict[str, list[int]] = {}
        for number, row in enumerate(manifest.rows):
            by_speaker.setdefault(row.label, []).append(number)
        splits = ["train"] * len(manifest.rows)
        for speaker, numbers in by_speaker.items():
            if len(numbers) < 4:
                raise ManifestError(
                    f"{self.root}: speaker {speaker!r} has {len(numbers)} utterances; "
                    "expected 4 or more, one for each split"
                )
            left = list(numbers)
            for split, share in SHARES:
                for _ in range(max(1, int(share * len(numbers)))):
                    splits[left.pop()] = split
        speakers = [row.label for row in manifest.rows]
        rows = tuple(
            replace(row, speaker=row.label) for row in labelled(manifest.rows, speakers, splits)
        )
        clips = Clips.of(
            replace(manifest, rows=rows),
            sample_rate=16_000,
            duration_s=self.duration_s,
            fit="windows",
        )
        return Splits.of(clips)


def librispeech_speakers(root: str | Path, duration_s: float = 2.0) -> Splits:
    """LibriSpeech speakers from a local folder, in windows of ``duration_s`` seconds."""
    return LibriSpeechSpeakers(str(root), duration_s).load()
