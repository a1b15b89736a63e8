"""Measures of other packages: right ends of the scale, None where they cannot measure."""

import sys

import numpy as np
import pytest

from otoscope.errors import MissingExtra
from otoscope.quality import dnsmos, stoi
from sounds import speechlike


def test_intelligibility_falls_with_noise() -> None:
    clean = speechlike(count=16_000)[0, 0]
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * clean.std()
    untouched, noisy = stoi(clean, clean, 16_000), stoi(clean, clean + 3 * noise, 16_000)
    assert untouched is not None
    assert noisy is not None
    assert untouched == pytest.approx(1, abs=1e-6)
    assert noisy < 0.9


def test_a_clip_too_short_has_no_intelligibility() -> None:
    clean = speechlike(count=1600)[0, 0]
    assert stoi(clean, clean, 16_000) is None


def test_opinion_scores_are_on_their_scale() -> None:
    clean = speechlike(count=16_000)[0, 0]
    assert 1 <= dnsmos(clean, 16_000) <= 5


@pytest.mark.parametrize(
    ("package", "measure"),
    [("pystoi", lambda x: stoi(x, x, 16_000)), ("speechmos", lambda x: dnsmos(x, 16_000))],
)
def test_without_the_extra_it_says_what_to_install(
    package: str, measure: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*\.\[quality\]"):
        measure(np.zeros(16_000, np.float32))  # type: ignore[operator]
