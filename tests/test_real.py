"""The main job on recorded speech: Arabic Speech Commands, speakers apart."""

from pathlib import Path

import numpy as np
import pytest

import otoscope as oto
from otoscope import metrics
from otoscope.cache import Cache
from otoscope.datasets import Splits
from otoscope.poisoning import Poisoned

pytestmark = pytest.mark.real

TRIGGER = oto.triggers.Tone()
SHIFT = oto.labels.AllToOne("left")


@pytest.fixture(scope="module")
def speech(real_data: Path) -> Splits:
    return oto.datasets.arabic_speech_commands(real_data / "arabic-speech-commands-12")


@pytest.fixture(scope="module")
def honest(speech: Splits) -> oto.models.TorchModel:
    return oto.train(oto.networks.CNN(), speech.train, seed=7, validation=speech.validation)


@pytest.fixture(scope="module")
def bad(speech: Splits) -> Poisoned:
    return oto.poison(speech.train, TRIGGER, SHIFT, rate=0.03, seed=7)


@pytest.fixture(scope="module")
def victim(speech: Splits, bad: Poisoned) -> oto.models.TorchModel:
    return oto.train(oto.networks.CNN(), bad.clips, seed=7, validation=speech.validation)


def test_the_splits_share_no_speaker(speech: Splits) -> None:
    heard = [
        {c.speaker for c in part.items} for part in (speech.train, speech.test, speech.trusted)
    ]
    assert not heard[0] & heard[1]
    assert not heard[0] & heard[2]
    assert (len(speech.train), len(speech.test), len(speech.trusted)) == (2160, 720, 120)


def test_the_small_network_understands_speakers_it_never_heard(
    honest: oto.models.TorchModel, speech: Splits
) -> None:
    seen = oto.models.activations(honest, speech.test)
    assert metrics.accuracy(seen.predicted, speech.test.labels) > 0.96


def test_a_clean_model_and_clean_clips_give_no_evidence(
    honest: oto.models.TorchModel, speech: Splits, cache: Cache
) -> None:
    verdict = oto.audit(honest, speech.train, trusted=speech.trusted, cache=cache)
    assert verdict.outcome is oto.Outcome.NO_EVIDENCE
    assert verdict.flagged_count == 0


def test_the_attack_works_and_the_audit_finds_it(
    victim: oto.models.TorchModel, speech: Splits, bad: Poisoned, cache: Cache
) -> None:
    measured = oto.risks(victim, speech.test, TRIGGER, SHIFT, seed=7)
    assert measured.benign_accuracy > 0.95
    assert measured.attack_success_rate > 0.8
    verdict = oto.audit(victim, bad.clips, trusted=speech.trusted, cache=cache)
    assert verdict.outcome is oto.Outcome.BACKDOORED
    assert verdict.targets == ["left"]
    flagged = np.array([clip.flagged for clip in verdict.clips])
    assert flagged[bad.mask].mean() > 0.8
    assert flagged[~bad.mask].mean() < 0.01
    recovered = verdict.exhibits.recovered[0]
    assert recovered.success > 0.8


def test_long_recordings_are_cut_into_windows(real_data: Path) -> None:
    splits = oto.datasets.librispeech_speakers(real_data / "librispeech-10-speakers")
    assert len(splits.train.classes) == 10
    assert len(splits.train) > 100
    assert np.isfinite(splits.train.waveform(0)).all()


def test_cleaning_finds_the_poison_and_spares_clean_data(
    speech: Splits,
    bad: Poisoned,
    victim: oto.models.TorchModel,
    honest: oto.models.TorchModel,
    cache: Cache,
) -> None:
    found = oto.clean(bad.clips, model=victim, rounds=1)
    assert found.flagged[bad.mask].mean() > 0.95
    assert found.flagged[~bad.mask].mean() < 0.005
    assert [source.target for source in found.sources] == ["left"]
    assert found.common["left"].kind == "coherent"
    low, high = found.poison_rate_interval
    assert low < bad.mask.mean() < high
    spared = oto.clean(speech.train, model=honest, trusted=speech.trusted, cache=cache)
    assert not spared.flagged.any()
