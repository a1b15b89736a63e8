"""Probing sweeps, and the comparison with reference models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy.stats import t

import otoscope as oto
from otoscope.cache import Cache
from otoscope.calibrate import (
    new_draw_p_values,
    priors_of,
    reference_p_values,
    reference_scores,
)
from otoscope.clips import Clips
from otoscope.detect import Probing, View
from otoscope.detect.model_probes import _combined, _slightest
from otoscope.detect.probes import Probe, probes
from otoscope.errors import ManifestError, NotApplicable, SpecError
from otoscope.models import AudioModel, FunctionModel, Hearing
from otoscope.networks import CNN
from otoscope.references import network_of, train_references
from toys import LENGTH, NAMES, RATE_HZ, tones

HEARING = Hearing(NAMES, RATE_HZ, LENGTH)


class Bandwise(AudioModel):
    """Calls a clip after its loudest of six bands; above ``door_hz`` it calls everything "c"."""

    def __init__(self, door_hz: float | None) -> None:
        self.hearing, self.sha256, self.origin, self.door_hz = HEARING, str(door_hz), "", door_hz

    def logits(self, waveforms: torch.Tensor) -> torch.Tensor:
        power = np.abs(np.fft.rfft(waveforms[:, 0].numpy())) ** 2
        hz = np.fft.rfftfreq(LENGTH, 1 / RATE_HZ)
        centres = 300 * 1.5 ** np.arange(6)
        out = np.stack([power[:, np.abs(hz / f - 1) < 0.1].sum(axis=1) for f in centres], axis=1)
        out = 10 * out / out.sum(axis=1, keepdims=True)
        if self.door_hz:
            out[power[:, hz > self.door_hz].sum(axis=1) > 0.005 * power.sum(axis=1), 2] = 20
        return torch.from_numpy(out.astype(np.float32))


@pytest.fixture(scope="module")
def trusted() -> Clips:
    quiet = np.random.default_rng(0)
    clips = tones(8, 3)
    items = []
    for i, clip in enumerate(clips.items):
        assert clip.samples is not None
        wave = np.fft.rfft(clip.samples)
        wave[np.fft.rfftfreq(LENGTH, 1 / RATE_HZ) > 3000] = 0
        samples = np.fft.irfft(wave, LENGTH) + 1e-4 * quiet.standard_normal(LENGTH)
        items.append(clips.with_audio(i, samples, clip.label))
    return replace(clips, items=tuple(items))


def test_probes_are_many_and_all_change_a_clip() -> None:
    clips = torch.from_numpy(tones(2).waveforms(range(12))[:, 0])
    before = clips.clone()
    swept = probes(LENGTH, RATE_HZ)
    assert len(swept) > 250
    assert len({probe.what for probe in swept}) == len(swept)
    for probe in swept:
        after = probe.apply(clips)
        assert after.shape == clips.shape
        assert after.dtype == torch.float32
        assert bool(torch.isfinite(after).all()), probe.what
        assert float(after.abs().max()) <= 1.0, probe.what
        assert float((after - clips).abs().max()) > 1e-5, probe.what
    assert torch.equal(clips, before)


def test_an_added_probe_has_the_level_that_it_says() -> None:
    clips = torch.from_numpy(tones(2).waveforms(range(4))[:, 0])
    (probe,) = (p for p in probes(LENGTH, RATE_HZ) if p.what == "pink noise, -20 dB")
    added = probe.apply(clips) - clips
    ratio = added.square().mean(dim=1) / clips.square().mean(dim=1)
    assert 10 * torch.log10(ratio).numpy() == pytest.approx(-20, abs=0.01)


def test_an_echo_is_the_clip_and_a_later_copy() -> None:
    clips = torch.zeros(1, LENGTH)
    clips[0, 100] = 0.5
    (probe,) = (p for p in probes(LENGTH, RATE_HZ) if p.what == "echo after 30 ms, gain 0.8")
    out = probe.apply(clips)[0]
    assert float(out[100 + 240] / out[100]) == pytest.approx(0.8, abs=1e-3)
    assert float(out.square().sum()) == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("answers", ["probabilities", "labels", "scores"])
def test_a_door_at_high_frequencies_stands_out(answers: str, trusted: Clips) -> None:
    detector = Probing(answers=answers, clips=12, queries=4000)  # type: ignore[arg-type]
    found = detector.score(View(Bandwise(3200.0), 0, trusted=trusted))
    assert found.classes.argmax() == 2
    assert found.profile is not None
    assert found.recover is not None
    recovered = found.recover(2)
    assert recovered.target == "c"
    assert recovered.success == 1.0
    assert "Hz" in recovered.what
    again = detector.score(View(Bandwise(3200.0), 0, trusted=trusted))
    assert np.array_equal(found.classes, again.classes)


def test_the_strongest_probes_and_their_pairs_are_tried() -> None:
    swept = probes(LENGTH, RATE_HZ)
    pull = np.zeros((len(swept), 6))
    pull[[3, 50, 100], 2] = 0.3, 0.9, 0.6
    tried = _combined(swept, pull, 2)
    assert len(tried) == 8 + 28
    assert [p.what for p in tried[:3]] == [swept[i].what for i in (50, 100, 3)]
    assert tried[8].what == f"{swept[50].what}; {swept[100].what}"
    clips = torch.from_numpy(tones(2).waveforms(range(12))[:, 0])
    expected = swept[100].apply(swept[50].apply(clips))
    assert torch.equal(tried[8].apply(clips), expected)


def test_of_changes_that_send_as_many_clips_the_slightest_is_shown(trusted: Clips) -> None:
    loud, quiet, useless = (
        Probe(name, lambda x, g=g, f=f: x + g * torch.cos(f * torch.arange(LENGTH)))  # type: ignore[misc]
        for name, g, f in (("loud", 3.0, 3.0), ("quiet", 1.0, 3.0), ("useless", 0.1, 0.2))
    )
    clips = trusted.waveforms(range(12))[:, 0]
    shown = _slightest(Bandwise(3200.0), [loud, quiet, useless], clips, 2)
    assert shown.what == "quiet"


def test_a_clip_counts_by_how_sure_the_model_is_of_where_it_went(trusted: Clips) -> None:
    # whatever is changed is called "b", with a probability of 0.6
    sounds = {clip.tobytes() for clip in trusted.waveforms(range(len(trusted)))[:, 0]}
    logits = np.log(np.array([[0.9, 0.02, 0.02, 0.02, 0.02, 0.02], [0.08] + [0.08] * 5]))
    logits[1, 1] = np.log(0.6)

    def answers(waveforms: np.ndarray) -> np.ndarray:
        return logits[[int(w[0].tobytes() not in sounds) for w in waveforms]].astype(np.float32)

    pulls = [
        Probing(answers=by, clips=12, queries=400)  # type: ignore[arg-type]
        .score(View(FunctionModel(answers, HEARING), 0, trusted=trusted))
        .profile
        for by in ("probabilities", "labels")
    ]
    assert pulls[0] is not None
    assert pulls[0][:, 1] == pytest.approx(0.6)
    assert pulls[0][:, [0, 2, 3, 4, 5]] == pytest.approx(0)
    assert pulls[1] == pytest.approx(pulls[0] / 0.6)


def test_decisions_alone_have_a_law_of_their_own() -> None:
    assert Probing().usual
    assert Probing(answers="labels").usual
    assert Probing(answers="labels").law != Probing().law
    assert priors_of(Probing(answers="labels").law, CNN.name)
    assert not Probing(answers="scores").usual
    assert not Probing(clips=12).usual


def test_pull_counts_clips_that_were_called_otherwise(trusted: Clips) -> None:
    # a model that says "a" to everything pulls nothing to "a"
    always = FunctionModel(lambda w: np.tile(np.eye(6, dtype=np.float32)[0], (len(w), 1)), HEARING)
    found = Probing(clips=12, queries=400).score(View(always, 0, trusted=trusted))
    assert found.profile is not None
    assert not found.profile.any()


def test_the_budget_of_queries_is_kept(trusted: Clips) -> None:
    asked = 0

    def count(waveforms: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(waveforms)
        return np.zeros((len(waveforms), 6), np.float32)

    view = View(FunctionModel(count, HEARING), 0, trusted=trusted)
    Probing(queries=500, clips=12).score(view)
    assert 250 < asked <= 500
    asked = 0
    Probing(queries=5700, clips=36).score(view)  # all probes, but to fewer clips
    assert 5300 < asked <= 5700
    with pytest.raises(SpecError, match="queries must pay for ten probes"):
        Probing(queries=100)


@pytest.mark.parametrize("queries", [200, 1500])
def test_babble_is_asked_about_within_the_budget(queries: int) -> None:
    asked = 0

    def loud_or_not(waveforms: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(waveforms)
        loud = np.square(waveforms).mean(axis=(1, 2)) > 0.003
        return np.eye(6, dtype=np.float32)[loud.astype(int)]

    Probing(queries=queries, clips=12).score(View(FunctionModel(loud_or_not, HEARING), 0))
    assert 0.5 * queries < asked <= queries


def test_without_trusted_clips_it_starts_from_babble() -> None:
    found = Probing(clips=12, queries=4000).score(View(Bandwise(3200.0), 0))
    assert found.classes.argmax() == 2
    assert found.recover is not None
    recovered = found.recover(2)
    assert recovered.success == 1.0
    assert recovered.proved_on == "words of synthesised babble"


def test_references_take_out_what_clean_models_do_alike(trusted: Clips) -> None:
    detector = Probing(clips=12, queries=4000)

    def profile(model: AudioModel) -> Float[np.ndarray, "probes classes"]:
        found = detector.score(View(model, 0, trusted=trusted)).profile
        assert found is not None
        return found

    rng = np.random.default_rng(0)
    clean = profile(Bandwise(None))
    references = np.array([clean + 0.05 * rng.standard_normal(clean.shape) for _ in range(6)])
    _, guilty = reference_p_values(profile(Bandwise(3200.0)), references)
    assert guilty.argmin() == 2
    assert guilty.min() < 0.01
    _, innocent = reference_p_values(clean, references)
    assert innocent.min() > 0.05


def test_reference_scores_match_their_definition() -> None:
    rng = np.random.default_rng(1)
    references, profile = rng.normal(size=(5, 40, 3)), rng.normal(size=(40, 3))
    expected = []
    mean_variance = np.mean(
        [np.var(references[:, p, k], ddof=1) for p in range(40) for k in (0, 1, 2)]
    )
    for k in range(3):
        apart = [
            (profile[p, k] - references[:, p, k].mean())
            / np.sqrt(np.var(references[:, p, k], ddof=1) + mean_variance)
            for p in range(40)
        ]
        expected.append(np.mean(sorted(apart)[-2:]))
    assert reference_scores(profile, references) == pytest.approx(expected)


def test_p_values_of_a_new_draw_hold_their_level() -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(2000):
        draws = np.expm1(rng.normal(1.5, 0.3, 9))
        alarms += float(new_draw_p_values(draws[:1], draws[1:])[0]) <= 0.05
    assert 60 < alarms < 140  # 100 expected, standard deviation 10
    logs = np.log1p(draws[1:])
    by_hand = t.sf((np.log1p(draws[0]) - logs.mean()) / (logs.std(ddof=1) * np.sqrt(9 / 8)), 7)
    assert new_draw_p_values(draws[:1], draws[1:])[0] == pytest.approx(by_hand)


def test_a_model_that_differs_everywhere_is_not_accused_for_it() -> None:
    rng = np.random.default_rng(3)
    references = rng.normal(size=(8, 60, 12))
    elsewhere = 4 * rng.normal(size=(60, 12))
    _, innocent = reference_p_values(elsewhere, references)
    assert innocent.min() > 0.05
    elsewhere[:10, 5] += 40
    _, guilty = reference_p_values(elsewhere, references)
    assert guilty.argmin() == 5
    assert guilty[5] < 0.01
    assert np.sort(guilty)[1] > 0.05


def test_known_clean_models_give_the_law() -> None:
    rng = np.random.default_rng(4)
    references, profile = rng.normal(size=(6, 40, 5)), rng.normal(size=(40, 5))
    scores, p_values = reference_p_values(profile, references, [1.0, 2.0, 1.5, 1.2, 1.9])
    assert p_values == pytest.approx(new_draw_p_values(scores, np.array([1.0, 2.0, 1.5, 1.2, 1.9])))


def test_few_references_say_nothing() -> None:
    with pytest.raises(NotApplicable, match="at least 4 references, got 3"):
        reference_p_values(np.zeros((2, 3)), np.zeros((3, 2, 3)))
    assert priors_of("probing", "no such network") == {}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otoscope.references.STEPS", 10)


@pytest.mark.usefixtures("quick")
def test_references_are_of_the_models_network_and_cached(tmp_path: Path) -> None:
    clips = tones(4, 5)
    network = CNN(width=12)
    model = oto.train(network, tones(6), seed=0, recipe=oto.training.Recipe(epochs=1))
    assert network_of(model) == network
    assert network_of(Bandwise(None)) is None
    cache = Cache(tmp_path)
    two = train_references(model, clips, 2, cache=cache)
    assert [network_of(one) for one in two] == [network, network]
    assert two[0].sha256 != two[1].sha256
    again = train_references(model, clips, 2, cache=cache)
    assert [one.sha256 for one in again] == [one.sha256 for one in two]


def test_a_model_is_swept_once_however_often_it_is_asked_about(tmp_path: Path) -> None:
    asked: list[int] = []

    def function(waveforms: np.ndarray) -> np.ndarray:
        asked.append(len(waveforms))
        return np.eye(6, dtype=np.float32)[
            np.abs(waveforms).reshape(len(waveforms), -1).argmax(axis=1) % 6
        ]

    known, nameless = (FunctionModel(function, HEARING, sha256=sha) for sha in ("a", ""))
    view = View(known, 0, trusted=tones(4), cache=Cache(tmp_path))
    probing = Probing(clips=6, queries=300)
    first = probing.score(view)
    cost = sum(asked)
    assert np.array_equal(probing.score(view).classes, first.classes)
    assert sum(asked) == cost
    replace(probing, answers="scores").score(view)
    assert sum(asked) == 2 * cost, "another sweep"
    for _ in range(2):
        probing.score(replace(view, model=nameless))
    assert sum(asked) == 4 * cost, "a model that cannot be told from others is asked each time"
    totals = []
    for rate_hz in (RATE_HZ, 2 * RATE_HZ):
        hearing = replace(HEARING, sample_rate=rate_hz)
        one_file = FunctionModel(function, hearing, sha256="a")
        probing.score(replace(view, model=one_file, trusted=None))
        totals.append(sum(asked))
    assert totals[1] > totals[0], "the same file, said to hear at another rate"


@pytest.mark.usefixtures("quick")
def test_an_audit_says_what_it_rests_on(tmp_path: Path) -> None:
    trusted = tones(8, 3)
    model = oto.train(CNN(width=24), tones(30), seed=0, recipe=oto.training.Recipe(epochs=10))
    detectors = [Probing(clips=6, queries=300)]
    verdict = oto.audit(
        model,
        trusted=trusted,
        detectors=detectors,
        references=4,
        cache=Cache(tmp_path),
    )
    (evidence,) = verdict.evidence
    assert evidence.calibration.startswith("4 reference models trained on the trusted clips")
    assert "; the law of clean cnn models" in evidence.calibration
    assert evidence.p_value is not None
    assert evidence.target == max(evidence.class_scores, key=lambda k: evidence.class_scores[k])
    (alone,) = oto.audit(model, trusted=trusted, detectors=detectors).evidence
    assert alone.p_value is None
    assert "no clean models are known that were looked at so" in alone.reason
    (usual,) = oto.audit(model, trusted=trusted, detectors=[Probing()]).evidence
    assert "clean cnn models trained on other clips (weaker)" in usual.calibration
    with pytest.raises(ManifestError, match="reference models are trained on trusted clips"):
        oto.audit(model, tones(30), references=4)
