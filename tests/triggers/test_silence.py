"""Gaps of silence put into the clip."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from otoscope.audio import Waveform
from otoscope.errors import SpecError, TriggerDoesNotFit
from otoscope.triggers import SilenceInsertion, Trigger
from sounds import RATES_HZ, waveform

VARIANTS: list[Trigger] = [
    SilenceInsertion(),
    SilenceInsertion(gaps_count=3, gap_s=0.02, places="random"),
    SilenceInsertion(gaps_count=1, gap_s=0.2),
]

FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"gaps_count": 0}, "gaps_count must be at least 1"),
    ({"gap_s": 0}, "gap_s must be above 0"),
    ({"places": "none"}, "expected one of even, random"),
]


def gaps(trigger: Trigger, rate: int = 16_000, seed: int = 0) -> list[tuple[int, int]]:
    """Begin and end of each silence that the trigger leaves in one second of full scale."""
    clean = Waveform(np.full((1, 1, rate), 0.5, np.float32), rate)
    sound = np.concatenate([[1], trigger(clean, seed).samples[0, 0] != 0, [1]])
    edges = np.flatnonzero(np.diff(sound.astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_gaps_have_their_length_and_cut_what_is_kept_evenly(rate: int) -> None:
    found = gaps(SilenceInsertion(gaps_count=3, gap_s=0.1), rate)
    assert [end - start for start, end in found] == [round(0.1 * rate)] * 3
    starts_s = [start / rate for start, _ in found]
    assert starts_s == pytest.approx([0.175, 0.45, 0.725], abs=2 / rate)


def test_what_follows_comes_later_and_the_last_part_is_cut() -> None:
    clean = waveform(seconds=1.0)
    x, y = clean.samples[0, 0], SilenceInsertion(gaps_count=1, gap_s=0.2)(clean).samples[0, 0]
    fade = 80
    np.testing.assert_array_equal(y[: 6400 - fade], x[: 6400 - fade])
    assert not y[6400:9600].any()
    np.testing.assert_array_equal(y[9600 + fade :], x[6400 + fade : 12_800])


def test_the_sound_fades_before_and_after_a_gap() -> None:
    clean = Waveform(np.full((1, 1, 16_000), 0.5, np.float32), 16_000)
    out = SilenceInsertion(gaps_count=1, gap_s=0.2)(clean).samples[0, 0]
    assert np.abs(np.diff(out)).max() < 0.02
    assert (out[6320:6400] < 0.5).all()
    assert (out[9600:9680] < 0.5).all()


def test_random_places_differ_between_seeds_and_lie_apart() -> None:
    trigger = SilenceInsertion(gaps_count=4, gap_s=0.05, places="random")
    drawn = [gaps(trigger, seed=seed) for seed in range(20)]
    assert len({found[0] for found in drawn}) >= 18
    for found in drawn:
        assert [end - start for start, end in found] == [800] * 4
        between = [0, *[edge for gap in found for edge in gap], 16_000]
        assert min(end - start for start, end in list(pairwise(between))[::2]) >= 160


def test_even_places_are_the_same_in_every_clip() -> None:
    assert gaps(SilenceInsertion(), seed=0) == gaps(SilenceInsertion(), seed=1)


def test_gaps_that_leave_no_sound_do_not_fit() -> None:
    with pytest.raises(TriggerDoesNotFit, match=r"5 gaps.*needs 0\.56 s.*lasts only 0\.5000 s"):
        SilenceInsertion(gaps_count=5, gap_s=0.1)(waveform(seconds=0.5))


def test_the_shortest_clip_that_fits() -> None:
    trigger = SilenceInsertion(gaps_count=2, gap_s=0.05, places="random")
    trigger(waveform(seconds=0.131))
    with pytest.raises(TriggerDoesNotFit):
        trigger(waveform(seconds=0.129))


def test_a_gap_of_less_than_a_sample_is_refused() -> None:
    with pytest.raises(SpecError, match="less than one sample at 16000 Hz"):
        SilenceInsertion(gap_s=1e-5)(waveform())
