"""Two recordings on disk, compared in one picture."""

from pathlib import Path

import numpy as np

from otoscope import audio
from otoscope.cache import write_atomically
from otoscope.errors import SpecError, UnreadableAudio
from otoscope.report.canvas import png
from otoscope.report.figures import compare


def compare_files(clean_path: Path, poisoned_path: Path, out_png: Path) -> Path:
    """Draw ``figures.compare`` of two recordings to a PNG file; returns its path.

    A different sample rate is brought to the clean one's, and the shorter recording gets zeros at
    its end; the title says so. Raises ``SpecError`` unless ``out_png`` ends in ``.png``, and
    ``UnreadableAudio``, with the path, for a recording that cannot be read.
    """
    if out_png.suffix.lower() != ".png":
        raise SpecError(f"{out_png}: expected the ending .png")
    clean, rate = _read(clean_path)
    other, other_rate = _read(poisoned_path)
    notes = []
    if other_rate != rate:
        other = audio.resample(other, other_rate, rate)
        notes.append(f"{poisoned_path.name} resampled from {other_rate:,} to {rate:,} Hz")
    if len(clean) != len(other):
        longer = max(len(clean), len(other))
        short = clean_path if len(clean) < longer else poisoned_path
        added_s = (longer - min(len(clean), len(other))) / rate
        clean, other = (np.pad(samples, (0, longer - len(samples))) for samples in (clean, other))
        notes.append(f"{short.name} padded with {added_s:.3f} s of zeros")
    figure = compare(
        clean,
        other,
        rate,
        names=(clean_path.name, poisoned_path.name),
        title="; ".join(notes),
    )
    write_atomically(out_png, png(figure))
    return out_png


def _read(path: Path) -> tuple[np.ndarray, int]:
    if not path.is_file():
        raise UnreadableAudio(f"{path}: no such file")
    try:
        return audio.read(path)
    except UnreadableAudio as error:
        raise UnreadableAudio(f"{path}: {error}") from None
