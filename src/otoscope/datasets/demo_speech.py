"""Demonstration data: ten English commands, synthesised on this machine by espeak-ng.

It is synthetic and easy. A formant synthesiser says each word nearly the same way every time, and
its voices differ less than people do; a small network reaches almost perfect accuracy. Use it to
see how Otoscope works and to test it, never to claim how well an attack or a defence does.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from otoscope import audio
from otoscope.cache import Cache, digest
from otoscope.clips import Clips
from otoscope.datasets.base import Dataset, Splits
from otoscope.datasets.espeak import ACCENTS, SAMPLE_RATE, VARIANTS, Utterance, speak
from otoscope.datasets.speech_commands import TEN_COMMANDS
from otoscope.errors import ManifestError
from otoscope.manifests import Row, read_manifest, write_csv
from otoscope.progress import track
from otoscope.registry import require

RECIPE = 1
"""Number of the way in which the clips are made; another number, other clips in the cache."""

RATE_HZ = 16_000
TAKES = 5
SPLIT_SHARES = (("validation", 0.1), ("test", 0.15), ("trusted", 0.1))
"""Shares of the voices; the rest trains."""


@dataclass(frozen=True)
class DemoSpeech(Dataset):
    """``speakers`` voices say ten commands ``TAKES`` times each, one second at 16 kHz.

    A voice is a timbre that no other has, an accent, a pitch and a rate of speech; takes differ in
    rate, pitch, level (peak -18 to -3 dB re full scale), background noise (15 to 35 dB below the
    speech, white to brown) and position. The four splits share no voice. Everything follows from
    ``seed``.
    """

    name: ClassVar[str] = "demo"
    seed: int = 0
    speakers: int = 60

    def __post_init__(self) -> None:
        require(
            4 <= self.speakers <= len(VARIANTS),
            f"demo speakers must be 4 (one for each split) to {len(VARIANTS)} (the timbres that "
            f"there are), got {self.speakers}",
        )

    def load(self, cache: Cache | None = None) -> Splits:
        """Synthesise the clips, or read them where an earlier call has left them.

        Raises ``MissingExtra`` when there is something to synthesise and no espeak-ng.
        """
        folder = self.folder(cache or Cache.default())
        if not _is_whole(folder):
            _write(folder, self)
        manifest = folder / "manifest.csv"
        return Splits.of(Clips.load(manifest, sample_rate=RATE_HZ, duration_s=1.0))

    def folder(self, cache: Cache) -> Path:
        """Where the clips lie, or would lie."""
        key = digest(RECIPE, ACCENTS, VARIANTS, TEN_COMMANDS, TAKES, self.seed, self.speakers)
        return cache.root / "datasets" / f"demo-{key[:16]}"


def demo(seed: int = 0, *, cache: Cache | None = None, speakers: int = 60) -> Splits:
    """Ten spoken commands by ``speakers`` synthetic voices; synthetic and easy, for demonstrations.

    Made once (by the extra ``demo``, offline) and kept in ``cache``, the user's own by default.
    Raises ``MissingExtra`` without that extra, ``SpecError`` for too few or too many speakers.
    """
    return DemoSpeech(seed, speakers).load(cache)


@dataclass(frozen=True)
class _Voice:
    """A voice, its usual rate (words a minute), pitch and range of pitch (0 to 100)."""

    name: str
    split: str
    rate: float
    pitch: float
    range: float


def _voices(rng: np.random.Generator, count: int) -> list[_Voice]:
    splits = [name for name, share in SPLIT_SHARES for _ in range(max(1, round(share * count)))]
    splits += ["train"] * (count - len(splits))
    return [
        _Voice(
            f"{rng.choice(ACCENTS)}+{variant}",
            split,
            rng.uniform(125, 190),
            rng.uniform(30, 70),
            rng.uniform(30, 70),
        )
        for variant, split in zip(rng.permutation(VARIANTS), splits, strict=False)
    ]


def _take(rng: np.random.Generator, voice: _Voice, word: str) -> Utterance:
    return Utterance(
        voice.name,
        word,
        rate=round(voice.rate * rng.uniform(0.85, 1.15)),
        pitch=round(voice.pitch + rng.uniform(-10, 10)),
        range=round(voice.range + rng.uniform(-15, 15)),
    )


def _recorded(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """One second that holds the sound: somewhere, at some level, over some noise."""
    speech = audio.resample(_without_silence(sound), SAMPLE_RATE, RATE_HZ)[:RATE_HZ]
    clip = np.zeros(RATE_HZ, dtype=np.float64)
    start = rng.integers(0, RATE_HZ - len(speech) + 1)
    clip[start : start + len(speech)] = speech
    noise = _noise(rng, exponent=rng.uniform(0, 2))
    clip += noise * audio.level_rms(speech, -rng.uniform(15, 35))
    peak = 10 ** (rng.uniform(-18, -3) / 20)
    return np.asarray(clip * (peak / np.abs(clip).max()), dtype=np.float32)


def _without_silence(sound: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    return np.asarray(sound[loud[0] : loud[-1] + 1])


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """One second of noise of RMS 1 whose power falls as 1 / frequency ** ``exponent``."""
    bins = np.arange(1, RATE_HZ // 2 + 2)
    spectrum = rng.standard_normal((2, len(bins))) * np.maximum(bins, 20) ** (-exponent / 2)
    noise = np.fft.irfft(spectrum[0] + 1j * spectrum[1], n=RATE_HZ)
    return np.asarray(noise / audio.rms(noise))


def _is_whole(folder: Path) -> bool:
    """Whether the clips are all there: systems clean their cache folders file by file."""
    try:
        rows = read_manifest(folder / "manifest.csv").rows
    except ManifestError:
        return False
    return all((folder / row.path).is_file() for row in rows)


def _write(folder: Path, data: DemoSpeech) -> None:
    """Synthesise into a draft beside ``folder``, then put it in place whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as space:
        draft = Path(space) / folder.name
        write_csv(draft / "manifest.csv", _write_clips(draft, data))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError:
            if not _is_whole(folder):  # else another process was quicker, with the same clips
                raise


def _write_clips(folder: Path, data: DemoSpeech) -> list[Row]:
    rng = np.random.default_rng(data.seed)
    plan = [
        (voice, _take(rng, voice, word), number)
        for voice in _voices(rng, data.speakers)
        for word in TEN_COMMANDS
        for number in range(TAKES)
    ]
    sounds = speak([utterance for _, utterance, _ in plan])
    rows = []
    for (voice, said, number), sound in track(
        zip(plan, sounds, strict=True), "synthesising speech", len(plan)
    ):
        path = f"{said.text}/{voice.name}-{number}.flac"
        audio.write(folder / path, _recorded(rng, sound), RATE_HZ)
        rows.append(Row(path, said.text, voice.name, voice.split))
    return rows
