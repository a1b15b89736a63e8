"""Frequency artefacts: the spectra by hand, what a fake is, and a chirp that is told."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope import metrics
from otoscope.audio import rms
from otoscope.detect import FrequencyArtefacts, View
from otoscope.detect.data_frequency_artefacts import BANDS, changed, spectrum
from otoscope.errors import SpecError
from poisoned import poisoned
from toys import RATE_HZ

TIME_S = np.arange(8000) / 8000


def test_the_spectrum_of_a_tone_and_a_click() -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 1000 * TIME_S) + 1e-3 * rng.standard_normal(8000)
    level, floor, crest, even = spectrum(tone, 8000).reshape(4, BANDS)
    loudest = int(level.argmax())
    assert loudest == pytest.approx(1000 / 4000 * BANDS, abs=1)
    assert level[loudest] - np.median(level) > 40
    assert abs(crest[loudest]) < 1, "a steady tone has no peak in time"
    assert even[loudest] > 0.9
    assert np.median(even) < 0.5, "the phase of noise does not run evenly"
    click = 1e-3 * rng.standard_normal(8000)
    click[4000] = 1
    assert np.median(spectrum(click, 8000).reshape(4, BANDS)[2]) > 10
    assert (level >= floor - 0.5).all()


def test_a_fake_is_the_clip_with_something_changed() -> None:
    rng = np.random.default_rng(1)
    clip = 0.2 * np.sin(2 * np.pi * 300 * TIME_S)
    fakes = [changed(clip, 8000, rng) for _ in range(60)]
    for fake in fakes:
        assert fake.shape == clip.shape
        assert np.abs(fake).max() <= 1
        assert rms(fake - clip) > 1e-4 * rms(clip)
    assert len({fake.tobytes() for fake in fakes}) == 60
    assert changed(clip, 8000, np.random.default_rng(2)).tobytes() == (
        changed(clip, 8000, np.random.default_rng(2)).tobytes()
    )


@pytest.mark.parametrize(("with_trusted", "expected"), [(True, 0.9), (False, 0.7)])
def test_a_chirp_is_told_without_asking_the_model(with_trusted: bool, expected: float) -> None:
    planted = poisoned()
    view: View = replace(planted.view, seen=None)
    if not with_trusted:
        view = replace(view, trusted=None, trusted_seen=None)
    assert view.clips is not None
    assert view.clips.sample_rate == RATE_HZ
    found = FrequencyArtefacts().score(view)
    assert found.clips is not None
    assert metrics.auroc(found.clips, planted.truth) > expected
    assert found.forward_passes == 0


@pytest.mark.parametrize(("field", "value"), [("faked", 0), ("learned", 5)])
def test_values_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(SpecError, match=f"frequency-artefacts.{field}"):
        FrequencyArtefacts(**{field: value})
