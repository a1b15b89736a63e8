"""Detectors: one contract for all, what each means, and the peers' bugs that must not be ours."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.mixture import GaussianMixture

from otoscope import metrics
from otoscope.calibrate import class_outlier_p_values
from otoscope.clips import Clips
from otoscope.detect import (
    DETECTORS,
    ActivationClustering,
    Detector,
    GaussianMixturePair,
    Scan,
    SpectralSignatures,
    Spectre,
    Strip,
    TriggerInversion,
    View,
)
from otoscope.detect.data_gaussian_mixture import symmetric_kl
from otoscope.detect.data_strip import entropy_bits, superimposed
from otoscope.errors import NotApplicable, SpecError
from otoscope.models import FunctionModel, Hearing, TorchModel
from otoscope.registry import build, spec
from toys import LENGTH, RATE_HZ, activations_with, tones

ON_ACTIVATIONS = [
    ActivationClustering(),
    SpectralSignatures(),
    GaussianMixturePair(),
    Scan(),
    Spectre(),
]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_spec_round_trips(name: str) -> None:
    detector = DETECTORS[name]()
    assert build(DETECTORS, spec(detector)) == detector
    assert detector.level in ("data", "model")


@pytest.mark.parametrize("detector", ON_ACTIVATIONS, ids=lambda d: d.name)
class TestOnActivations:
    def test_poison_ranks_above_clean_clips(self, detector: Detector) -> None:
        planted = activations_with(poison=12, distance=14)
        scores = detector.score(planted.view).clips
        assert scores is not None
        assert metrics.auroc(scores, planted.truth) > 0.95

    def test_the_poisoned_class_stands_out(self, detector: Detector) -> None:
        classes = detector.score(activations_with(poison=12, distance=14).view).classes
        p_values = class_outlier_p_values(classes)
        assert p_values.argmin() == 3
        assert p_values[3] < 0.05

    def test_it_stays_quiet_on_clean_classes(self, detector: Detector) -> None:
        alarms = 0
        for seed in range(20):
            classes = detector.score(
                activations_with(poison=0, seed=seed, per_class=60).view
            ).classes
            alarms += class_outlier_p_values(classes).min() <= 0.05
        assert alarms <= 4  # 20 sets at a level of 0.05: five or more has probability 0.003

    def test_scores_keep_the_order_of_the_clips(self, detector: Detector) -> None:
        # a peer walks a shuffled loader twice, so that scores and clips do not line up
        planted = activations_with(poison=12, distance=14)
        view, clips = planted.view, planted.view.clips
        assert view.seen is not None
        assert view.seen.features is not None
        assert clips is not None
        turned = np.random.default_rng(0).permutation(len(clips))
        moved = View(
            model=view.model,
            seed=0,
            clips=clips.subset(turned),
            seen=type(view.seen)(view.seen.features[turned], view.seen.logits[turned]),
        )
        before, after = detector.score(view).clips, detector.score(moved).clips
        assert before is not None
        assert after is not None
        assert metrics.auroc(after, planted.truth[turned]) == pytest.approx(
            metrics.auroc(before, planted.truth), abs=0.02
        )

    def test_same_seed_same_scores_and_input_untouched(self, detector: Detector) -> None:
        view = activations_with(poison=5).view
        assert view.seen is not None
        assert view.seen.features is not None
        before = view.seen.features.copy()
        one, two = detector.score(view), detector.score(view)
        assert np.array_equal(one.classes, two.classes)
        assert np.array_equal(one.clips, two.clips)  # type: ignore[arg-type]
        assert np.array_equal(before, view.seen.features)

    def test_without_features_it_is_not_applicable(self, detector: Detector) -> None:
        view = activations_with(poison=0).view
        assert view.seen is not None
        blind = View(view.model, 0, view.clips, type(view.seen)(None, view.seen.logits))
        with pytest.raises(NotApplicable, match="last linear layer"):
            detector.score(blind)

    def test_too_few_clips_are_not_applicable(self, detector: Detector) -> None:
        with pytest.raises(NotApplicable, match="only 0 classes have 20 clips"):
            detector.score(activations_with(poison=0, per_class=3).view)

    def test_equal_activations_do_not_break_it(self, detector: Detector) -> None:
        view = activations_with(poison=0).view
        assert view.seen is not None
        assert view.seen.features is not None
        view.seen.features[:80] = 1.0
        scores = detector.score(view)
        assert scores.clips is not None
        assert np.isfinite(scores.clips).all()


def test_activation_clustering_does_not_call_every_smaller_cluster_poison() -> None:
    planted = activations_with(poison=12, distance=14)
    scores = ActivationClustering().score(planted.view).clips
    assert scores is not None
    assert metrics.tpr_at_fpr(scores, planted.truth) == 1.0


def test_spectral_signatures_match_their_definition() -> None:
    view = activations_with(poison=10).view
    scores = SpectralSignatures().score(view).clips
    assert view.seen is not None
    assert view.seen.features is not None
    assert scores is not None
    rows = view.seen.features[:80].astype(np.float64)
    size, directions = np.linalg.eigh(np.cov(rows.T))
    expected = ((rows - rows.mean(axis=0)) @ directions[:, size.argmax()]) ** 2
    assert scores[:80] == pytest.approx(expected, rel=1e-6)


def test_spectral_signatures_can_reach_every_poisoned_clip_of_one_class() -> None:
    # a peer removes the same share of every class, which caps its recall
    planted = activations_with(poison=12, distance=14)
    scores = SpectralSignatures().score(planted.view).clips
    assert scores is not None
    assert metrics.auroc(scores[240:320], planted.truth[240:320]) > 0.99


def test_the_divergence_agrees_with_monte_carlo() -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (200, 3)), rng.normal(2, 1, (50, 3))])
    pair = GaussianMixture(2, covariance_type="tied", random_state=0).fit(rows)
    one, two = (multivariate_normal(mean, pair.covariances_) for mean in pair.means_)
    x, y = (law.rvs(40000, random_state=1) for law in (one, two))
    sampled = np.mean(one.logpdf(x) - two.logpdf(x)) + np.mean(two.logpdf(y) - one.logpdf(y))
    assert symmetric_kl(pair) == pytest.approx(sampled, rel=0.02)


@pytest.mark.parametrize("detector", [GaussianMixturePair(), ActivationClustering()])
def test_trusted_clips_tell_which_population_is_poison_when_it_is_the_larger(
    detector: Detector,
) -> None:
    planted = activations_with(poison=50, trusted_per_class=10, distance=14)
    scores = detector.score(planted.view).clips
    assert scores is not None
    assert metrics.auroc(scores, planted.truth) > 0.99


def test_entropy_is_taken_over_the_classes() -> None:
    # a peer takes it over the batch, so that trojaned inputs pass
    logits = np.random.default_rng(0).normal(size=(5, 7))
    expected = entropy(np.exp(logits), axis=1, base=2)
    assert entropy_bits(logits) == pytest.approx(expected)
    assert entropy_bits(np.array([[100.0, 0.0, 0.0]])) == pytest.approx(0.0, abs=1e-6)
    assert entropy_bits(np.zeros((1, 8))) == pytest.approx(3.0)


def test_superimposing_matches_levels_and_keeps_the_range() -> None:
    clip = np.full((1, 1, 100), 0.1, np.float32)
    other = np.full((1, 1, 100), 0.4, np.float32)
    assert superimposed(clip, other, 0.0) == pytest.approx(0.2, abs=1e-6)
    assert superimposed(clip, other, -20.0) == pytest.approx(0.11, abs=1e-6)
    assert np.abs(superimposed(clip * 9, other, 0.0)).max() <= 1.0


def obeys_a_click(waveforms: np.ndarray) -> np.ndarray:
    """Class a whenever the first sample is loud; else the pitch decides, softly."""
    spectrum = np.abs(np.fft.rfft(waveforms[:, 0], axis=1))
    hz = np.fft.rfftfreq(LENGTH, 1 / RATE_HZ)
    bands = [np.abs(hz - 300 * 1.5**k) < 40 * 1.5**k for k in range(6)]
    logits = np.stack([spectrum[:, band].sum(axis=1) for band in bands], axis=1) / 20
    logits[np.abs(waveforms[:, 0, 0]) > 0.2, 0] += 100
    return logits.astype(np.float32)


def with_click(clips: Clips, rows: np.ndarray) -> Clips:
    from dataclasses import replace

    items = list(clips.items)
    for row in rows:
        samples = clips.waveform(int(row)).copy()
        samples[0] = 0.9
        items[row] = clips.with_audio(int(row), samples, "a")
    return replace(clips, items=tuple(items))


def test_strip_finds_clips_whose_class_survives_superposition() -> None:
    clips = with_click(tones(), np.arange(60, 75))
    truth = np.zeros(len(clips), dtype=bool)
    truth[60:75] = True
    model = FunctionModel(obeys_a_click, Hearing(clips.classes, RATE_HZ, LENGTH))
    scores = Strip(blends=4).score(View(model, 0, clips, trusted=tones(5, seed=9)))
    assert scores.clips is not None
    assert metrics.auroc(scores.clips, truth) > 0.99
    assert np.nanargmax(scores.classes) == 0
    assert scores.forward_passes == 4.0


class Obedient(torch.nn.Module):
    """Class c when the end of the clip carries 3.5 kHz; else the loudest pitch."""

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(waveforms[:, 0]).abs()
        end = torch.fft.rfft(waveforms[:, 0, -500:]).abs()[:, 215:223].sum(dim=1)
        bands = [(int(75 * 1.5**k) - 8, int(75 * 1.5**k) + 8) for k in range(6)]
        energy = torch.stack([spectrum[:, a:b].square().sum(dim=1) for a, b in bands], dim=1)
        logits = (
            30 * energy / energy.sum(dim=1, keepdim=True)
        )  # the pitch's share: hard to overcome
        return logits + torch.nn.functional.one_hot(torch.tensor(2), 6) * end[:, None]


def test_trigger_inversion_finds_the_class_and_makes_its_trigger_audible() -> None:
    clips = tones(10)
    model = TorchModel(Obedient(), Hearing(clips.classes, RATE_HZ, LENGTH))
    scores = TriggerInversion(steps=80).score(View(model, 0, trusted=clips))
    assert scores.clips is None
    assert scores.classes.argmax() == 2
    assert scores.recover is not None
    found = scores.recover(2)
    assert (found.target, found.success) == ("c", 1.0)
    assert found.sound == pytest.approx(found.after - found.before)
    power = np.abs(np.fft.rfft(found.sound)) ** 2
    assert power[840:915].sum() > 0.3 * power.sum()  # around 3.5 kHz


def test_trigger_inversion_needs_gradients_and_trusted_clips() -> None:
    clips = tones(4)
    deaf = FunctionModel(obeys_a_click, Hearing(clips.classes, RATE_HZ, LENGTH))
    with pytest.raises(NotApplicable, match="gradient"):
        TriggerInversion().score(View(deaf, 0, trusted=clips))
    model = TorchModel(Obedient(), Hearing(clips.classes, RATE_HZ, LENGTH))
    with pytest.raises(NotApplicable, match="trusted"):
        TriggerInversion().score(View(model, 0, clips=clips))


@pytest.mark.parametrize(
    "broken", ["strip:blends=0", "trigger-inversion:steps=1", "gaussian-mixture:components=0"]
)
def test_senseless_parameters_are_refused(broken: str) -> None:
    with pytest.raises(SpecError, match="must"):
        build(DETECTORS, broken)
