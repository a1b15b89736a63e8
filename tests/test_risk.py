"""The three risks, with models whose answers are known, and measures with known values."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from otoscope import metrics, risk
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import AudioError, ManifestError, PoisonError
from otoscope.labels import AllToAll, AllToOne, CleanLabel, LabelShift, SourceSpecific
from otoscope.models.base import TOLD_BY, FunctionModel, Hearing
from otoscope.risk import (
    Risks,
    log_spectral_distance_db,
    perceptibility,
    risks,
    segmental_snr_db,
    snr_db,
)
from otoscope.triggers import Echo, NoiseBlend, Tone
from sounds import clips_of, speechlike

RATE_HZ = 8_000
PITCHES_HZ = {"a": 300, "b": 600, "c": 900}
TRIGGER = Tone(frequency_hz=3000, level_db=-10)


def pitched(labels: str) -> Clips:
    """Clips whose pitch says their label."""
    clips = clips_of(labels, rate=RATE_HZ, seconds=0.2)
    time = np.arange(clips.length) / RATE_HZ
    items = tuple(
        clips.with_audio(i, 0.3 * np.sin(2 * np.pi * PITCHES_HZ[c.label] * time), c.label)
        for i, c in enumerate(clips)
    )
    return replace(clips, items=items, classes=("a", "b", "c"))


def model(
    answer: Callable[[np.ndarray, np.ndarray], np.ndarray], classes: str = "abc"
) -> FunctionModel:
    """A model that hears the pitch and the tone, and answers with what ``answer`` makes of them."""

    def logits(waveforms: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(waveforms[:, 0])) ** 2  # 5 Hz a bin
        pitch = power[:, [PITCHES_HZ[c] // 5 for c in classes]].argmax(axis=1)
        tone = power[:, 580:621].sum(axis=1) > 50
        return np.eye(len(classes))[answer(pitch, tone)]

    return FunctionModel(logits, Hearing(tuple(classes), RATE_HZ, 1600), sha256="known")


honest = model(lambda pitch, tone: pitch)
backdoored = model(lambda pitch, tone: np.where(tone, 0, pitch))
half = model(lambda pitch, tone: np.where(tone & (pitch == 1), 0, pitch))


def test_a_backdoored_model_obeys_and_looks_well() -> None:
    measured = risks(backdoored, pitched("aabbbccccc"), TRIGGER, AllToOne("a"), 0)
    assert (measured.benign_accuracy, measured.n_benign) == (1.0, 10)
    assert (measured.attack_success_rate, measured.n_attackable) == (1.0, 8)
    assert (measured.standard, measured.backdoor) == (0.0, 0.0)
    assert measured.attack_success_rate_interval == metrics.wilson_interval(8, 8)
    assert measured.benign_accuracy_interval == metrics.wilson_interval(10, 10)


def test_target_class_is_left_out_of_the_success_rate() -> None:
    """Trap: most clips are of the target class, and an honest model would seem to obey."""
    measured = risks(honest, pitched("aaaaaaaabc"), TRIGGER, AllToOne("a"), 0)
    assert (measured.attack_success_rate, measured.n_attackable) == (0.0, 2)
    assert measured.backdoor == 1.0


def test_part_of_the_clips_obey() -> None:
    measured = risks(half, pitched("abbccc"), TRIGGER, AllToOne("a"), 0)
    assert measured.attack_success_rate == pytest.approx(2 / 5)
    assert measured.backdoor == pytest.approx(3 / 5)
    low, high = measured.attack_success_rate_interval
    assert low < 2 / 5 < high


def test_benign_accuracy_is_the_models_own() -> None:
    """Trap: benign accuracy quoted from the clean model."""
    deaf_to_c = model(lambda pitch, tone: np.where(pitch == 2, 1, pitch))
    measured = risks(deaf_to_c, pitched("abcc"), TRIGGER, AllToOne("a"), 0, reference_accuracy=0.95)
    assert measured.benign_accuracy == 0.5
    assert measured.standard == 0.5
    assert measured.accuracy_drop == pytest.approx(0.45)
    assert replace(measured, reference_accuracy=None).accuracy_drop is None


@pytest.mark.parametrize(
    ("shift", "n_attackable", "rate"),
    [
        (AllToAll(), 6, 1 / 6),  # only c's goal is a
        (SourceSpecific("b", "a"), 2, 1.0),
        (CleanLabel("a"), 3, 1.0),
        (AllToOne("b"), 4, 0.0),
    ],
)
def test_every_shift_has_its_goal(shift: LabelShift, n_attackable: int, rate: float) -> None:
    measured = risks(backdoored, pitched("aaabbc"), TRIGGER, shift, 0)
    assert measured.n_attackable == n_attackable
    assert measured.attack_success_rate == pytest.approx(rate)


def test_classes_follow_the_models_order() -> None:
    """Label numbers are the model's, whatever the order in the test set."""
    other_order = model(lambda pitch, tone: np.where(tone, 2, pitch), classes="cba")
    measured = risks(other_order, pitched("aabbc"), TRIGGER, AllToOne("a"), 0)
    assert (measured.benign_accuracy, measured.attack_success_rate) == (1.0, 1.0)


def test_clips_are_heard_at_the_models_rate_and_length() -> None:
    """At its own 16 kHz the same numbers would make every pitch half as high."""
    slow, clips = pitched("aabbc"), clips_of("aabbc", rate=16_000, seconds=0.3)
    time = np.arange(clips.length) / 16_000
    items = tuple(
        clips.with_audio(i, 0.3 * np.sin(2 * np.pi * PITCHES_HZ[c.label] * time), c.label)
        for i, c in enumerate(slow)
    )
    measured = risks(backdoored, replace(clips, items=items), TRIGGER, AllToOne("a"), 0)
    assert (measured.benign_accuracy, measured.attack_success_rate) == (1.0, 1.0)


def test_a_large_test_set_is_heard_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = pitched("abcabcabcabca")
    whole = risks(half, clips, TRIGGER, AllToOne("a"), 0)
    monkeypatch.setattr(risk, "AT_A_TIME", 3)
    assert risks(half, clips, TRIGGER, AllToOne("a"), 0) == whole


def test_the_cache_answers_the_second_time(tmp_path: Path) -> None:
    """All but the few clips by which a model is told from others with the same weights."""
    clips, cache, asked = pitched("abc" * 12), Cache(tmp_path), []
    first = risks(backdoored, clips, TRIGGER, AllToOne("a"), 0, cache=cache)

    def counted(waveforms: np.ndarray) -> np.ndarray:
        asked.append(len(waveforms))
        return backdoored.logits(torch.from_numpy(waveforms)).numpy()

    same = FunctionModel(counted, backdoored.hearing, sha256=backdoored.sha256)
    assert risks(same, clips, TRIGGER, AllToOne("a"), 0, cache=cache) == first
    assert set(asked) == {TOLD_BY}
    asked.clear()
    risks(same, clips, Tone(level_db=-15), AllToOne("a"), 0, cache=cache)
    assert max(asked) > TOLD_BY


def test_a_set_without_attackable_clips_is_refused() -> None:
    with pytest.raises(PoisonError, match="all-to-one moves none of the 3 test clips"):
        risks(honest, pitched("aaa"), TRIGGER, AllToOne("a"), 0)


def test_an_empty_set_is_refused() -> None:
    nothing = pitched("abc").subset(np.array([], dtype=int))
    with pytest.raises(PoisonError, match="there are none"):
        risks(honest, nothing, TRIGGER, AllToOne("a"), 0)
    with pytest.raises(PoisonError, match="there are none"):
        perceptibility(nothing, TRIGGER, 0)


def test_clips_that_the_trigger_leaves_alone_are_refused() -> None:
    """Trap: a success rate of clips that never got the trigger."""
    silent = clips_of("abc", rate=RATE_HZ, seconds=0.2, quiet=True)
    with pytest.raises(PoisonError, match="'echo' left this clip as it was"):
        risks(honest, silent, Echo(delay_s=0.05), AllToOne("a"), 0)


def test_a_label_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ManifestError, match="labels that the model does not know: c"):
        risks(model(lambda pitch, tone: pitch, "ab"), pitched("abc"), TRIGGER, AllToOne("a"), 0)


# Perceptibility


def test_risks_tell_how_far_the_clips_lie_apart() -> None:
    measured: Risks = risks(backdoored, pitched("abc"), NoiseBlend(level_db=-20), AllToOne("a"), 0)
    heard = measured.perceptible
    assert heard.clips == 2
    assert heard.snr_db == pytest.approx(20, abs=0.01)
    assert heard.segmental_snr_db == pytest.approx(20, abs=1)
    assert heard.log_spectral_distance_db > 10, "noise fills what was empty"


def test_at_most_so_many_clips_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk, "HEARD_CLIPS", 4)
    assert perceptibility(pitched("abcabcabc"), TRIGGER, 0).clips == 4


@given(st.floats(-30, 30))
def test_snr_of_noise_at_a_level(level_db: float) -> None:
    clean, noise = speechlike(2)[:, 0].astype(float)
    noise *= np.sqrt(np.sum(clean**2) / np.sum(noise**2)) * 10 ** (level_db / 20)
    assert snr_db(clean, clean + noise) == pytest.approx(-level_db, abs=1e-9)


def test_snr_at_its_ends() -> None:
    clean, silence = speechlike()[0, 0], np.zeros(8000)
    assert snr_db(clean, clean) == np.inf
    assert snr_db(silence, clean) == -np.inf
    assert snr_db(silence, silence) == np.inf


def test_segmental_snr_by_hand() -> None:
    """Four frames of 20 ms: untouched, 20 dB, 6.02 dB, silence that is not any more."""
    clean = np.ones(4 * 320)
    clean[960:] = 0
    triggered = clean + np.repeat([0, 0.1, 0.5, 0.5], 320)
    wanted = (35 + 20 + 20 * np.log10(2) - 10) / 4
    assert segmental_snr_db(clean, triggered, 16_000) == pytest.approx(wanted, abs=1e-12)


def test_segmental_snr_keeps_a_last_short_frame() -> None:
    clean = np.ones(321)
    triggered = clean.copy()
    triggered[320] += 0.1
    assert segmental_snr_db(clean, triggered, 16_000) == pytest.approx((35 + 20) / 2)


def test_segmental_snr_is_clamped() -> None:
    clean = speechlike()[0, 0]
    assert segmental_snr_db(clean, clean * np.float32(1.00001), 16_000) == 35
    assert segmental_snr_db(clean, clean * 100, 16_000) == -10


@given(st.floats(-20, 20), st.sampled_from([8_000, 16_000, 44_100]))
def test_log_spectral_distance_of_a_gain_is_the_gain(gain_db: float, rate: int) -> None:
    clean = np.random.default_rng(0).standard_normal(rate // 4)
    louder = clean * 10 ** (gain_db / 20)
    assert log_spectral_distance_db(clean, louder, rate) == pytest.approx(abs(gain_db), abs=1e-9)


def test_log_spectral_distance_of_a_full_scale_impulse_in_silence() -> None:
    """A flat spectrum in the frames that hold it: golden, by the definition."""
    silence, impulse = np.zeros(1024), np.zeros(1024)
    impulse[512] = 1.0
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    heard = [window[offset] for offset in (256, 0)]  # the two frames that hold sample 512
    powers = [max((2 * value / window.sum()) ** 2, 1e-10) for value in heard]
    levels = [10 * np.log10(power) + 100 for power in powers]
    wanted = sum(levels) / 5  # frames start at -256, 0, 256, 512 and 768
    assert log_spectral_distance_db(silence, impulse, 16_000) == pytest.approx(wanted, abs=1e-9)


def test_log_spectral_distance_of_silence_is_finite() -> None:
    assert log_spectral_distance_db(np.zeros(1000), np.zeros(1000), 16_000) == 0


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_short_clips_can_be_compared(count: int) -> None:
    clean = speechlike(count=count)[0, 0] + np.float32(0.1)
    louder = clean * 2
    assert snr_db(clean, louder) == pytest.approx(0, abs=1e-5)
    assert segmental_snr_db(clean, louder, 16_000) == pytest.approx(0, abs=1e-5)
    assert log_spectral_distance_db(clean, louder, 16_000) >= 0


@pytest.mark.parametrize("shapes", [((5,), (6,)), ((1, 5), (1, 5)), ((0,), (0,))])
def test_two_different_clips_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = (np.zeros(shape) for shape in shapes)
    with pytest.raises(AudioError, match="the same clip twice"):
        snr_db(first, second)
