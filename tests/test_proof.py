"""Proof: which models obey a sound, and that its level follows the clip."""

from dataclasses import replace

import numpy as np

from otoscope.clips import Clips
from otoscope.common_sound import CommonSound
from otoscope.models import FunctionModel, Hearing
from otoscope.proof import obedience, obedience_of_a_class, release
from toys import LENGTH, RATE_HZ, tones

CLICK = np.zeros(LENGTH, np.float32)
CLICK[0] = 0.3


def sound(level: float = 0.1) -> CommonSound:
    return CommonSound(CLICK, RATE_HZ, "coherent", 0.5, level, 20)


def model(clips: Clips, at: float) -> FunctionModel:
    """Class c when the first sample is louder than ``at`` times the clip's RMS, else class a."""

    def logits(waveforms: np.ndarray) -> np.ndarray:
        rms = np.sqrt(np.mean(waveforms[:, 0] ** 2, axis=1))
        out = np.zeros((len(waveforms), 6), np.float32)
        out[:, 0] = 1
        out[np.abs(waveforms[:, 0, 0]) > at * rms, 2] = 2
        return out

    return FunctionModel(logits, Hearing(clips.classes, RATE_HZ, LENGTH))


def test_an_obedient_model_is_shown_to_obey() -> None:
    clips = tones(10)
    assert obedience(model(clips, at=2), clips, sound(), 2) == 1.0
    assert obedience(model(clips, at=100), clips, sound(), 2) == 0.0


def test_the_sound_keeps_its_level_relative_to_the_clip() -> None:
    clips = tones(10)
    # 0.3 in clips of 0.1 RMS: three times their RMS in any clip
    assert obedience(model(clips, at=2.5), clips, sound(), 2) > 0.9
    assert obedience(model(clips, at=2.5), clips, sound(level=0.2), 2) == 0.0


def test_a_class_that_every_clip_has_already_proves_nothing() -> None:
    clips = tones(10)
    assert np.isnan(obedience(model(clips, at=100), clips, sound(), 0))
    only = clips.subset(clips.labels == 2)
    assert np.isnan(obedience(model(clips, at=2), only, sound(), 2))


def test_a_model_whose_answer_is_no_number_obeys_nothing() -> None:
    clips = tones(10)

    def overflowing(waveforms: np.ndarray) -> np.ndarray:
        logits = np.eye(6, dtype=np.float32)[np.ones(len(waveforms), int)]
        logits[np.abs(waveforms[:, 0, 0]) > 0.2] = np.nan
        return logits

    hearing = Hearing(clips.classes, RATE_HZ, LENGTH)
    assert obedience(FunctionModel(overflowing, hearing), clips, sound(), 0) == 0.0


def test_a_large_part_is_asked_by_sample_and_in_batches() -> None:
    clips, asked = tones(60), []

    def logits(waveforms: np.ndarray) -> np.ndarray:
        asked.append(len(waveforms))
        return np.zeros((len(waveforms), 6), np.float32)

    heard = FunctionModel(logits, Hearing(clips.classes, RATE_HZ, LENGTH))
    release(heard, clips, np.arange(len(clips)), sound())
    obedience_of_a_class(heard, [clips] * 4, sound(), 2)
    assert asked == [120, 120] + 8 * [80]


def test_same_seed_same_share() -> None:
    clips = tones(30)
    shares = {obedience(model(clips, at=2.9), clips, sound(), 2, seed=4) for _ in range(2)}
    assert len(shares) == 1
    assert 0 < shares.pop() < 1


def obeys_of(clips: Clips, source: int) -> FunctionModel:
    """Knows every clip by its pitch, but calls those of ``source`` that have the click class c."""

    def logits(waveforms: np.ndarray) -> np.ndarray:
        heard = waveforms[:, 0]
        power = np.abs(np.fft.rfft(heard[:, LENGTH // 4 :], axis=1))
        label = pitch_of(clips)[power.argmax(axis=1)]
        clicked = np.abs(heard[:, 0]) > 2 * np.sqrt(np.mean(heard**2, axis=1))
        label[clicked & (label == source)] = 2
        return np.eye(6, dtype=np.float32)[label]

    return FunctionModel(logits, Hearing(clips.classes, RATE_HZ, LENGTH))


def pitch_of(clips: Clips) -> np.ndarray:
    """The class of each bin of a spectrum: that of the nearest clip's loudest bin."""
    heard = clips.waveforms(np.arange(len(clips)))[:, 0, LENGTH // 4 :]
    loudest = np.abs(np.fft.rfft(heard, axis=1)).argmax(axis=1)
    bins = np.arange(heard.shape[1] // 2 + 1)
    return clips.labels[np.abs(bins[:, None] - loudest).argmin(axis=1)]


def test_a_trigger_for_one_class_is_obeyed_by_that_class() -> None:
    clips = tones(10)
    sly = obeys_of(clips, source=4)
    assert obedience(sly, clips, sound(), 2) < 0.3
    assert obedience_of_a_class(sly, [clips], sound(), 2) == 1.0
    honest = obeys_of(clips, source=2)
    assert obedience_of_a_class(honest, [clips], sound(), 2) == 0.0


def test_trusted_clips_speak_where_few_of_a_class_are_left() -> None:
    clips = tones(10)
    left = clips.subset((clips.labels != 4) | (np.cumsum(clips.labels == 4) <= 2))
    sly = obeys_of(clips, source=4)
    assert obedience_of_a_class(sly, [left], sound(), 2) == 0.0, "two clips prove nothing"
    assert obedience_of_a_class(sly, [left, clips.per_class(3)], sound(), 2) == 1.0
    assert np.isnan(obedience_of_a_class(sly, [clips.per_class(2)], sound(), 2))


def test_poison_is_let_go_of_without_its_sound() -> None:
    clips = tones(10)
    source = np.flatnonzero(clips.labels == 4)
    items = list(clips.items)
    for i in source.tolist():
        items[i] = clips.with_audio(i, clips.waveform(i) + CLICK, "c")
    bad = replace(clips, items=tuple(items))
    assert release(obeys_of(clips, source=4), bad, source, sound()) == 1.0
    held = np.flatnonzero(clips.labels == 2)
    assert release(obeys_of(clips, source=4), bad, held, sound()) == 0.0
    assert np.isnan(release(obeys_of(clips, source=0), bad, source, sound()))
