"""The model of hearing: known thresholds, what masks what, the share of a change that is heard."""

import numpy as np
import pytest

from otoscope.psychoacoustics import (
    audible_share,
    bark,
    masking_threshold_db,
    spreading_db,
    threshold_in_quiet_db,
)
from sounds import speechlike


def sine(hz: float, db: float, rate: int = 44_100, seconds: float = 0.5) -> np.ndarray:
    """A sine so far below full scale (96 dB SPL)."""
    return 10 ** (db / 20) * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("hz", "db"), [(100, 22.95), (1000, 3.37), (3300, -4.99), (16_000, 66.0)])
def test_the_threshold_in_quiet_is_terhardts(hz: float, db: float) -> None:
    khz = hz / 1000
    by_hand = 3.64 / khz**0.8 - 6.5 * 2.718281828 ** (-0.6 * (khz - 3.3) ** 2) + khz**4 / 1000
    found = threshold_in_quiet_db(np.array([hz]))[0]
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert found == pytest.approx(db, abs=0.1)


@pytest.mark.parametrize(("hz", "z"), [(100, 1.0), (1000, 8.5), (4400, 18.0), (15_500, 24.0)])
def test_critical_bands_lie_where_zwicker_put_them(hz: float, z: float) -> None:
    assert bark(np.array([hz]))[0] == pytest.approx(z, abs=0.35)


def test_masking_falls_off_on_both_sides_and_ends() -> None:
    above = spreading_db(np.linspace(0, 7.9, 60), np.array(80.0))
    below = spreading_db(np.linspace(-2.9, 0, 60), np.array(80.0))
    assert (np.diff(above) <= 0).all()
    assert (np.diff(below) >= 0).all()
    assert np.isneginf(spreading_db(np.array([-3.1, 8.0]), np.array(80.0))).all()
    assert spreading_db(np.array([1.0]), np.array(80.0))[0] == pytest.approx(-17)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_loud_sine_masks_its_neighbour_and_not_a_far_one(rate: int) -> None:
    masker = sine(1000, -16, rate)  # 80 dB SPL
    near, far = sine(1150, -56, rate), sine(3300, -56, rate)  # 40 dB SPL
    assert audible_share(masker, masker + near, rate) < 0.1
    assert audible_share(masker, masker + far, rate) > 0.9


def test_the_threshold_near_a_masker_is_the_standards() -> None:
    """One tonal masker: its level, its index at its place, no distance."""
    powers = np.full(257, -100.0)
    line = 23  # 1981 Hz
    powers[line - 1 : line + 2] = [64, 70, 64]
    level = 10 * np.log10(10**6.4 * 2 + 10**7)
    z = float(bark(np.array([line * 44_100 / 512]))[0])
    found = masking_threshold_db(powers[:, None], 44_100)[line, 0]
    assert found == pytest.approx(level - 1.525 - 0.275 * z - 4.5, abs=0.2)


def test_frames_do_not_meddle_with_each_other() -> None:
    rng = np.random.default_rng(0)
    powers = rng.uniform(-20, 80, (257, 6))
    powers[:, 2] = -200.0  # nothing sounds
    powers[40:43, 3] = [70, 90, 70]
    together = masking_threshold_db(powers, 44_100)
    alone = [masking_threshold_db(powers[:, [k]], 44_100)[:, 0] for k in range(6)]
    np.testing.assert_allclose(together, np.transpose(alone), rtol=1e-12)


def test_what_cannot_be_heard_in_quiet_is_not_heard() -> None:
    silence = np.zeros(44_100)
    assert audible_share(silence, sine(21_500, -30, seconds=1.0), 44_100) < 0.02
    assert audible_share(silence, sine(1000, -30, seconds=1.0), 44_100) > 0.98


def test_more_level_is_more_audible() -> None:
    clean = speechlike(count=16_000)[0, 0]
    noise = np.random.default_rng(3).standard_normal(16_000) * clean.std()
    shares = [audible_share(clean, clean + noise * 10 ** (db / 20), 16_000) for db in (-50, -25, 0)]
    assert shares[0] < shares[1] < shares[2]
    assert shares[0] < 0.01
    assert shares[2] > 0.6


def test_no_change_and_very_short_clips() -> None:
    clean = speechlike(count=16_000)[0, 0]
    assert audible_share(clean, clean, 16_000) == 0
    assert 0 <= audible_share(clean[:30], -clean[:30], 16_000) <= 1
