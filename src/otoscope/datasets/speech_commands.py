"""Google Speech Commands: one-second English words, thousands of speakers.

Published with P. Warden, *Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition*
(2018, arXiv:1804.03209) under CC BY 4.0. Download and unpack it yourself; nothing is fetched here.
Versions 1 and 2 have the same layout: a folder per word, ``validation_list.txt`` and
``testing_list.txt`` (both by a hash of the speaker, so the splits share no speaker).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.datasets.base import Dataset, Splits, set_apart
from otoscope.errors import ManifestError
from otoscope.manifests import SPLIT_LISTS, read_manifest
from otoscope.registry import did_you_mean, require

TEN_COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


@dataclass(frozen=True)
class SpeechCommands(Dataset):
    """The folder ``root``; only ``words`` if given. ``seed`` draws the trusted clips.

    Trusted are 10 clips a word from the validation speakers, which training does not hear;
    validation is the rest of theirs. The word folders are the classes: there is no "unknown" class
    and no "silence".
    """

    name: ClassVar[str] = "speech-commands"
    root: str
    words: tuple[str, ...] = ()
    seed: int = 0

    def load(self, cache: Cache | None = None) -> Splits:
        """Read the folder. Raises ``ManifestError`` without the two lists of splits."""
        folder = Path(self.root)
        for wanted in SPLIT_LISTS.values():
            if not (folder / wanted).is_file():
                raise ManifestError(
                    f"{folder}: expected Google Speech Commands with {wanted} beside the word "
                    "folders; give the folder that the archive was unpacked to"
                )
        manifest = read_manifest(folder)
        known = dict.fromkeys(row.label for row in manifest.rows)
        for word in self.words:
            require(
                word in known,
                f"{folder}: there is no word {word!r}{did_you_mean(word, known)}; "
                f"there are: {', '.join(known)}",
            )
        rows = tuple(r for r in manifest.rows if not self.words or r.label in self.words)
        held = set_apart(replace(manifest, rows=rows), self.seed)
        return Splits.of(Clips.of(held, sample_rate=16_000, duration_s=1.0))


def speech_commands(root: str | Path, words: tuple[str, ...] = (), seed: int = 0) -> Splits:
    """Google Speech Commands from a local folder; ``words=TEN_COMMANDS`` for the usual ten.

    Raises ``ManifestError`` when the folder has another layout, ``SpecError`` for a missing word.
    """
    return SpeechCommands(str(root), tuple(words), seed).load()
