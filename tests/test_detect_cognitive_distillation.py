"""Cognitive distillation: small masks for clips of which a click is all that counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from otoscope import metrics
from otoscope.detect import CognitiveDistillation, View
from otoscope.detect.data_cognitive_distillation import rough
from otoscope.detect.mel_plane import MelPlane
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import FunctionModel, Hearing, TorchModel
from toys import LENGTH, RATE_HZ, tones


class ObeysABurst(torch.nn.Module):
    """Class a when the end carries 3.5 kHz; else the loudest pitch, spread over the whole clip."""

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        bands = [(int(75 * 1.5**k) - 8, int(75 * 1.5**k) + 8) for k in range(6)]
        parts = torch.fft.rfft(waveforms[:, 0].view(-1, 4, LENGTH // 4), dim=2).abs()
        pitch = torch.stack([parts[:, :, a // 4 : b // 4].mean(dim=2) for a, b in bands], dim=2)
        logits = pitch.clamp(max=8).mean(dim=1)  # every quarter of the clip counts
        burst = parts[:, -1, 215:223].sum(dim=1).clamp(max=20)
        return logits + torch.nn.functional.one_hot(torch.tensor(0), 6) * burst[:, None]


def poisoned() -> tuple[View, np.ndarray]:
    clips, truth = tones(24), np.zeros(144, bool)
    truth[30:40] = True
    items = list(clips.items)
    for i in np.flatnonzero(truth).tolist():
        samples = clips.waveform(i) * np.float32(0.02)
        samples[-500:] += 0.3 * np.sin(2 * np.pi * 3500 / RATE_HZ * np.arange(500))
        items[i] = clips.with_audio(i, samples, "a")
    model = TorchModel(ObeysABurst(), Hearing(clips.classes, RATE_HZ, LENGTH))
    return View(model, 0, replace(clips, items=tuple(items))), truth


def test_clips_of_which_little_counts_score_high() -> None:
    view, truth = poisoned()
    detector = CognitiveDistillation(bands=10, steps=30)
    scores = detector.score(view)
    assert scores.clips is not None
    assert metrics.auroc(scores.clips, truth) > 0.9
    assert scores.forward_passes == 90
    assert ((scores.clips >= -1) & (scores.clips <= 0)).all()
    assert np.nanargmax(scores.classes) == 0
    assert np.array_equal(scores.clips, detector.score(view).clips)  # type: ignore[arg-type]


def test_roughness_agrees_with_numpy() -> None:
    mask = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    expected = [
        np.mean((one[1:] - one[:-1]) ** 2) + np.mean((one[:, 1:] - one[:, :-1]) ** 2)
        for one in mask
    ]
    assert rough(torch.from_numpy(mask)).numpy() == pytest.approx(expected, rel=1e-5)


def test_a_whole_mask_gives_the_clip_back() -> None:
    plane = MelPlane(RATE_HZ, LENGTH, 10, torch.device("cpu"))
    sound = torch.from_numpy(tones(1).waveforms(range(6))[:, 0])
    spectra = plane.spectra(sound)
    assert (plane.spread @ torch.ones(10, spectra.shape[-1])).numpy()[5:-5] == pytest.approx(1)
    assert plane.waveforms(spectra).numpy() == pytest.approx(sound.numpy(), abs=1e-5)


def test_it_needs_gradients() -> None:
    view, _ = poisoned()
    deaf = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), view.model.hearing)
    with pytest.raises(NotApplicable, match="gradient"):
        CognitiveDistillation().score(replace(view, model=deaf))


@pytest.mark.parametrize("fields", [{"bands": 1}, {"steps": 0}])
def test_faulty_fields_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="must be at least 2"):
        CognitiveDistillation(**fields)
