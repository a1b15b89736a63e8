"""Babble: what a search starts from where there is nothing but a model."""

import numpy as np
import pytest
import torch

from doored import HEARING, Doored
from otoscope.detect import SoundInversion, TriggerInversion, View
from otoscope.detect.babble import LEVEL_DB, babble
from otoscope.detect.held_out import BABBLE_PER_CLASS, Start
from otoscope.errors import NotApplicable
from otoscope.models import FunctionModel, TorchModel
from toys import tones


@pytest.mark.parametrize(("length", "rate_hz"), [(16000, 16000), (2000, 8000), (48000, 16000)])
def test_babble_is_spoken_and_repeats(length: int, rate_hz: int) -> None:
    words = babble(12, length, rate_hz, seed=1)
    assert words.shape == (12, length)
    assert torch.equal(words, babble(12, length, rate_hz, seed=1))
    assert torch.equal(words[:5], babble(5, length, rate_hz, seed=1))
    level_db = 10 * torch.log10(words.square().mean(dim=1))
    assert float(level_db.min()) >= LEVEL_DB[0] - 1
    assert float(level_db.max()) <= LEVEL_DB[1] + 0.1
    power = np.abs(np.fft.rfft(words.numpy())) ** 2
    voice = np.fft.rfftfreq(length, 1 / rate_hz) < 3600
    assert power[:, voice].sum() > 0.8 * power.sum(), "speech lies below 3.6 kHz"


def test_a_clip_is_spoken_in_for_a_part_of_it() -> None:
    frames = babble(20, 16000, 16000, seed=0).reshape(20, 50, 320).square().mean(dim=2)
    silent = (frames < 0.01 * frames.amax(dim=1, keepdim=True)).float().mean(dim=1)
    assert 0.1 < float(silent.mean()) < 0.75


def test_each_word_is_labelled_with_what_the_model_calls_it() -> None:
    model = TorchModel(Doored(0.0), HEARING)
    start = Start.of(View(model, 0))
    called = model.logits(torch.from_numpy(start.clips.waveforms(range(len(start.clips)))))
    assert start.clips.labels.tolist() == called.argmax(dim=1).tolist()
    assert np.bincount(start.clips.labels).max() <= BABBLE_PER_CLASS
    assert "babble" in start.what


@pytest.mark.parametrize("search", [SoundInversion(passes=6000), TriggerInversion(steps=60)])
def test_a_door_is_found_without_any_clip(search: SoundInversion | TriggerInversion) -> None:
    found = search.score(View(TorchModel(Doored(20.0), HEARING), 0))
    assert found.classes.argmax() == 2
    assert found.recover is not None
    recovered = found.recover(2)
    assert recovered.target == "c"
    assert "babble" in recovered.proved_on


def test_what_it_needs() -> None:
    deaf = FunctionModel(lambda w: np.eye(6, dtype=np.float32)[np.zeros(len(w), int)], HEARING)
    with pytest.raises(NotApplicable, match="babble are 'a' to this model"):
        Start.of(View(deaf, 0))
    with pytest.raises(NotApplicable, match="trusted clips, and there are none"):
        Start.of(View(deaf, 0, clips=tones(3)))
