"""What resampling leaves behind."""

from typing import Any, Literal

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import ResamplingResidue, Trigger
from sounds import RATES_HZ, band_db, waveform

METHODS: tuple[Literal["sinc", "linear", "hold"], ...] = ("sinc", "linear", "hold")

VARIANTS: list[Trigger] = [
    ResamplingResidue(),
    ResamplingResidue(through_share=0.3, method="hold"),
    ResamplingResidue(through_share=0.7, method="sinc"),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"through_share": 0.04}, "through_share must lie between 0.05 and 0.95"),
    ({"through_share": 1}, "through_share must lie between 0.05 and 0.95"),
    ({"method": "cubic"}, "expected one of sinc, linear, hold"),
]


def tone(hz: float, rate: int) -> Waveform:
    """One second of a sine, faded so that its ends add nothing elsewhere in the spectrum."""
    sound = 0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate) * np.hanning(rate)
    return Waveform(sound[None, None].astype(np.float32), rate)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize(
    ("method", "image_db"), [("sinc", None), ("linear", -19.5), ("hold", -9.8)]
)
def test_the_image_of_a_tone_has_its_strength(
    method: Literal["sinc", "linear", "hold"], image_db: float | None, rate: int
) -> None:
    """Through half the rate, a tone at 0.1 of it has its image at 0.4. Each sample twice is a
    filter with the response cos(pi f / rate), lines between them one with its square."""
    out = ResamplingResidue(through_share=0.5, method=method)(tone(0.1 * rate, rate)).samples
    image = band_db(out, 0.4 * rate, rate) - band_db(out, 0.1 * rate, rate)
    if image_db is None:
        assert image < -70
    else:
        assert image == pytest.approx(image_db, abs=0.3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.61])
def test_what_lies_above_the_lower_band_is_gone_and_what_lies_below_stays(
    share: float, method: Literal["sinc", "linear", "hold"]
) -> None:
    trigger = ResamplingResidue(through_share=share, method=method)
    low, high = tone(0.1 * share * 8000, 16_000), tone(1.15 * share * 8000, 16_000)
    assert np.abs(trigger(high).samples).max() < 0.01
    kept = np.abs(trigger(low).samples - low.samples).max()
    assert kept < (0.12 if method == "hold" else 0.02)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_delayed(method: Literal["sinc", "linear", "hold"]) -> None:
    clean = waveform(seconds=1.0)
    x, y = clean.samples[0, 0], ResamplingResidue(method=method)(clean).samples[0, 0]
    assert np.correlate(y, x, "full").argmax() - (len(x) - 1) in (0, -1 if method == "hold" else 0)


def test_short_clips_and_low_rates_are_refused() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"resampling needs 0\.01 s"):
        ResamplingResidue()(waveform(seconds=0.009))
    with pytest.raises(SpecError, match="through 800 Hz leaves no sound"):
        ResamplingResidue(through_share=0.05)(waveform())
