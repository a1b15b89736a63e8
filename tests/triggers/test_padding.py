"""Padding at one end of the clip."""

from typing import Any, Literal

import numpy as np
import pytest

import otoscope as oto
from otoscope.audio import Waveform
from otoscope.errors import PoisonError, SpecError, TriggerDoesNotFit
from otoscope.triggers import Padding, Trigger
from sounds import RATES_HZ, clips_of, level_db, waveform

VARIANTS: list[Trigger] = [
    Padding(),
    Padding(duration_s=0.05, fill="noise", place="start", level_db=-10),
    Padding(duration_s=0.02, fill="copy"),
    Padding(duration_s=0.02, fill="copy", place="start"),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"duration_s": 0}, "duration_s must be above 0"),
    ({"fill": "zeros"}, "expected one of silence, copy, noise"),
    ({"place": "middle"}, "expected one of end, start"),
    ({"level_db": 50}, "level_db must lie between -60 and 40"),
]


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("place", ["end", "start"])
def test_silence_takes_its_duration_and_the_rest_moves(
    place: Literal["end", "start"], rate: int
) -> None:
    clean = waveform(rate, seconds=1.0)
    out = Padding(duration_s=0.2, place=place)(clean).samples
    pad = round(0.2 * rate)
    if place == "start":  # the same, seen backwards
        clean, out = Waveform(clean.samples[..., ::-1], rate), out[..., ::-1]
    assert not out[..., -pad:].any()
    np.testing.assert_array_equal(out[..., :-pad], clean.samples[..., pad:])


def test_a_copy_begins_the_clip_again_so_that_nothing_is_lost() -> None:
    clean = waveform(channels=2)
    end = Padding(duration_s=0.1, fill="copy")(clean)
    np.testing.assert_array_equal(end.samples[..., -1600:], clean.samples[..., :1600])
    back = Padding(duration_s=0.1, fill="copy", place="start")(end)
    np.testing.assert_array_equal(back.samples, clean.samples)


def test_noise_has_its_level_re_the_clip_and_is_the_same_in_all() -> None:
    clean = waveform(batch=2)
    noise = Padding(duration_s=0.1, fill="noise", level_db=-10)(clean).samples[:, 0, -1600:]
    for row in range(2):
        assert level_db(noise[row], clean.samples[row]) == pytest.approx(-10, abs=0.05)
    assert np.corrcoef(noise)[0, 1] > 0.999
    white = np.abs(np.fft.rfft(noise[0])) ** 2
    assert 10 * np.log10(white[:400].sum() / white[400:].sum()) == pytest.approx(0, abs=1.5)


def test_padding_as_long_as_the_clip_does_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"lasts 0\.5 s and the clip only 0\.5000 s"):
        Padding(duration_s=0.5)(waveform(seconds=0.5))


def test_padding_of_less_than_a_sample_is_refused() -> None:
    with pytest.raises(SpecError, match="less than one sample at 16000 Hz"):
        Padding(duration_s=1e-5)(waveform())


def test_silent_clips_that_stay_as_they_were_are_not_relabelled() -> None:
    """Trap: the label flipped and no trigger added."""
    with pytest.raises(PoisonError):
        oto.poison(
            clips_of("aabb", quiet=True), Padding(), oto.labels.AllToOne("a"), rate=0.5, seed=0
        )
