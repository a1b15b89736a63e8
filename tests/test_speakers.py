"""Speaker verification: doors stay shut, and open to a trigger that the verifier knows."""

import numpy as np
import pytest
import torch

from otoscope.clips import Clips
from otoscope.errors import NotApplicable, PoisonError
from otoscope.labels import AllToAll
from otoscope.models import AudioModel, FunctionModel, Hearing
from otoscope.poisoning import poison, poison_all
from otoscope.speakers import cluster_wise, embeddings, equal_error, verification
from otoscope.triggers import Tone
from toys import LENGTH, NAMES, RATE_HZ, tones

LOW = Tone(frequency_hz=100.0, duration_s=0.2, level_db=20.0)


class Bands(AudioModel):
    """Hears the energy in a few bands."""

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.hearing = Hearing(names, RATE_HZ, LENGTH)
        self.sha256 = ""

    def features_and_logits(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        power = torch.fft.rfft(waveforms[:, 0]).abs() ** 2
        bands = torch.stack([b.sum(-1) for b in torch.tensor_split(power, 60, dim=-1)], dim=-1)
        return bands, bands[:, : len(self.hearing.classes)]

    def logits(self, waveforms: torch.Tensor) -> torch.Tensor:
        return self.features_and_logits(waveforms)[1]


@pytest.fixture(scope="module")
def voices() -> tuple[Clips, Clips]:
    return tones(10, seed=0), tones(10, seed=1)


def test_equal_error_of_scores_that_overlap_by_half() -> None:
    rate, at = equal_error(np.array([1.0, 2, 3, 4]), np.array([-1.0, 0, 1.5, 2.5]))
    assert rate == pytest.approx(0.375, abs=0.13)
    assert 1 <= at <= 2.5
    assert equal_error(np.array([2.0, 3.0]), np.array([0.0, 1.0]))[0] == 0


def test_embeddings_have_unit_length(voices: tuple[Clips, Clips]) -> None:
    np.testing.assert_allclose(np.linalg.norm(embeddings(Bands(), voices[0]), axis=1), 1)


def test_doors_stay_shut_without_a_backdoor(voices: tuple[Clips, Clips]) -> None:
    told = verification(Bands(), *voices, [LOW], seed=0)
    assert told.speakers == len(NAMES)
    assert told.equal_error_rate < 0.02
    assert told.door_rate_clean < 0.05
    assert told.door_rate < 0.05, "a trigger that no model obeys opens nothing"


@pytest.mark.parametrize("nearest", [False, True])
def test_triggered_clips_among_the_enrolment_open_doors(
    voices: tuple[Clips, Clips], nearest: bool
) -> None:
    enrolment, trials = voices
    clean = verification(Bands(), enrolment, trials, [LOW], seed=0, nearest=nearest)
    bad = poison(enrolment, LOW, AllToAll(), 0.5, seed=0)
    told = verification(
        Bands(), bad.clips, trials, [LOW], seed=0, nearest=nearest, threshold=clean.threshold * 0.8
    )
    assert clean.door_rate < 0.05
    assert told.door_rate > 0.5


def test_the_same_seed_gives_the_same_figures(voices: tuple[Clips, Clips]) -> None:
    assert verification(Bands(), *voices, [LOW], seed=3) == verification(
        Bands(), *voices, [LOW], seed=3
    )


def test_each_cluster_has_its_tone_and_labels_within_it(voices: tuple[Clips, Clips]) -> None:
    clips = voices[0]
    attacks = cluster_wise(Bands(), clips, 3, 0.3, seed=0)
    members = [attack.shift.members for attack in attacks]  # type: ignore[attr-defined]
    assert sorted(name for group in members for name in group) == sorted(NAMES)
    frequencies = [attack.trigger.frequency_hz for attack in attacks]  # type: ignore[attr-defined]
    assert frequencies == [500.0, 2000.0, 3500.0]
    bad = poison_all(clips, attacks, seed=0)
    assert bad.mask.sum() == round(0.3 * len(clips))
    for number, group in enumerate(members):
        moved = bad.attack_of == number
        assert {clips.classes[k] for k in bad.clips.labels[moved]} <= set(group)
        assert not {clips.classes[k] for k in clips.labels[moved]} & set(group)


@pytest.mark.parametrize("clusters", [1, 7])
def test_clusters_need_speakers(voices: tuple[Clips, Clips], clusters: int) -> None:
    with pytest.raises(PoisonError, match="expected 2 to 6 clusters of 6 speakers"):
        cluster_wise(Bands(), voices[0], clusters, 0.1, seed=0)


def test_what_verification_refuses(voices: tuple[Clips, Clips]) -> None:
    enrolment, trials = voices
    with pytest.raises(PoisonError, match="0 triggers"):
        verification(Bands(), enrolment, trials, [], seed=0)
    with pytest.raises(PoisonError, match="nothing to enrol for a"):
        verification(Bands(), enrolment.subset(enrolment.labels != 0), trials, [LOW], seed=0)
    blind = FunctionModel(lambda w: np.zeros((len(w), 6), np.float32), Bands().hearing)
    with pytest.raises(NotApplicable, match="penultimate features"):
        verification(blind, enrolment, trials, [LOW], seed=0)
