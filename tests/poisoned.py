"""A toy set with poison in it and a small network that learned it, made once for all tests."""

import functools
from dataclasses import replace

import numpy as np

from otoscope.auditing import look
from otoscope.clips import Clips
from otoscope.networks import CNN
from otoscope.training import Recipe, train
from toys import LENGTH, RATE_HZ, Planted, tones

TARGET = 0
RECIPE = Recipe(epochs=12, batch_size=32, shift_share=0, shift_bands=0)


@functools.cache
def poisoned() -> Planted:
    """180 tones in six classes, every ninth clip of the others with a chirp and called class 0."""
    clips = tones()
    truth = np.zeros(len(clips), dtype=bool)
    truth[30::9] = True
    bad = with_chirp(clips, np.flatnonzero(truth))
    model = train(CNN(width=24, bands=20), bad, seed=0, validation=bad, recipe=RECIPE)
    return Planted(look(model, bad, trusted=tones(8, seed=9)), truth, TARGET)


def with_chirp(clips: Clips, rows: np.ndarray) -> Clips:
    """The same clips, some with a loud chirp above all tones and the label of class 0."""
    time = np.arange(400) / RATE_HZ
    chirp = 0.4 * np.sin(2 * np.pi * (2800 + 8000 * time) * time) * np.hanning(400)
    items = list(clips.items)
    for row in rows.tolist():
        samples = clips.waveform(row).copy()
        samples[LENGTH - 400 :] += chirp.astype(np.float32)
        items[row] = clips.with_audio(row, samples, clips.classes[TARGET])
    return replace(clips, items=tuple(items))
