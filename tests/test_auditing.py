"""The audit end to end: verdict, target, clips; what is missing; what it must refuse."""

import json
import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from otoscope import auditing, metrics, sampling
from otoscope.auditing import audit, scan
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.concluding import conclude
from otoscope.detect import (
    DEFAULT,
    DETECTORS,
    OF_A_DELIVERED_MODEL,
    GaussianMixturePair,
    Strip,
    own_network,
)
from otoscope.errors import ManifestError, ModelMismatch, SpecError
from otoscope.evidence import Outcome, Verdict, json_schema
from otoscope.labels import AllToOne
from otoscope.models import FunctionModel, Hearing, TorchModel
from otoscope.networks import CNN
from otoscope.poisoning import Poisoned, poison
from otoscope.registry import build
from otoscope.training import Recipe, train
from otoscope.triggers import Tone
from toys import LENGTH, RATE_HZ, activations_with, tones

SMALL = CNN(bands=24, width=24)
RECIPE = Recipe(epochs=14, batch_size=16, shift_bands=0)
TRIGGER = Tone(frequency_hz=3600, duration_s=0.05, level_db=0)


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    return poison(tones(60), TRIGGER, AllToOne("c"), rate=0.05, seed=0)


@pytest.fixture(scope="module")
def victim(bad: Poisoned) -> TorchModel:
    return train(SMALL, bad.clips, seed=0, recipe=RECIPE)


@pytest.fixture(scope="module")
def verdict(victim: TorchModel, bad: Poisoned, cache: Cache) -> Verdict:
    return audit(victim, bad.clips, trusted=tones(10, seed=9), cache=cache)


def test_a_backdoor_is_called_one_and_its_target_named(verdict: Verdict) -> None:
    assert verdict.outcome in (Outcome.BACKDOORED, Outcome.SUSPICIOUS)
    assert verdict.targets[0] == "c"
    assert verdict.p_value is not None
    assert verdict.p_value <= 0.05


def test_the_guilty_clips_are_flagged(verdict: Verdict, bad: Poisoned) -> None:
    flagged = np.array([clip.flagged for clip in verdict.clips])
    scores = np.array([clip.score for clip in verdict.clips])
    assert metrics.auroc(scores, bad.mask) > 0.95
    assert flagged[bad.mask].mean() > 0.8
    assert flagged[~bad.mask].mean() < 0.02


def test_every_clip_is_listed_once_in_order(verdict: Verdict, bad: Poisoned) -> None:
    assert [clip.path for clip in verdict.clips] == [clip.path for clip in bad.clips.items]


def test_it_says_what_it_ran(verdict: Verdict, victim: TorchModel, bad: Poisoned) -> None:
    assert {e.detector for e in verdict.evidence} == {*DEFAULT, *OF_A_DELIVERED_MODEL}
    assert verdict.model_sha256 == victim.sha256
    assert verdict.data_sha256 == bad.clips.sha256
    assert verdict.seeds == {"audit": 0, "own network": own_network.OWN_SEED}
    assert {"otoscope", "torch", "python"} <= set(verdict.versions)
    witness = next(e for e in verdict.evidence if e.detector == "witness")
    assert witness.forward_passes == 3
    assert "clean training sets" in witness.calibration


def test_exhibits_line_up_with_the_clips(verdict: Verdict) -> None:
    shown = verdict.exhibits
    assert shown.clips is not None
    assert shown.map is not None
    assert len(shown.clips) == len(shown.map) == len(verdict.clips)
    assert [r.target for r in shown.recovered][:1] == ["c"]


def test_same_seed_same_verdict(victim: TorchModel, bad: Poisoned) -> None:
    one, two = (
        audit(victim, bad.clips, detectors=[GaussianMixturePair(), Strip()], seed=4).clips
        for _ in range(2)
    )
    assert one == two


def test_clean_activations_come_back_empty() -> None:
    alarms = 0
    for seed in range(12):
        view = activations_with(poison=0, seed=seed, per_class=60).view
        findings = [
            scan(build(DETECTORS, n), view) for n in ("gaussian-mixture", "spectral-signatures")
        ]
        verdict = conclude(view, findings)
        alarms += verdict.outcome is not Outcome.NO_EVIDENCE
        assert verdict.outcome is not Outcome.NO_EVIDENCE or verdict.flagged_count == 0
    assert alarms <= 3  # four or more of 12 at a level of 0.05 has probability 0.002


def test_flagged_clips_keep_the_false_discovery_rate() -> None:
    false, flagged = 0, 0
    for seed in range(8):
        planted = activations_with(poison=20, seed=seed, distance=14)
        verdict = conclude(planted.view, [scan(GaussianMixturePair(), planted.view)])
        marks = np.array([clip.flagged for clip in verdict.clips])
        flagged += int(marks.sum())
        false += int((marks & ~planted.truth).sum())
    assert flagged > 100
    assert false / flagged < 0.15  # promised: 0.1


def test_data_alone_is_audited_through_a_probe(bad: Poisoned) -> None:
    verdict = audit(None, bad.clips, detectors=[GaussianMixturePair()])
    assert verdict.model_sha256 is None
    assert "probe" in verdict.seeds
    assert any("probe was trained" in line for line in verdict.not_tested)


def test_a_model_alone_says_what_could_not_be_tested(victim: TorchModel) -> None:
    verdict = audit(victim)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.outcome.exit_code == 3
    assert verdict.clips == []
    assert all(e.reason for e in verdict.evidence)
    assert any("name a search, such as probing" in said for said in verdict.not_tested)


def test_a_model_alone_is_searched_from_babble_when_asked(victim: TorchModel) -> None:
    names = ("probing", "universal-perturbation", "trigger-inversion")
    verdict = audit(victim, detectors=[build(DETECTORS, name) for name in names])
    assert [e.p_value is not None for e in verdict.evidence] == [True] * 3
    assert "from babble, too (weaker)" in verdict.evidence[0].calibration
    assert any("training data: none was given" in said for said in verdict.not_tested)
    assert not any("name a search" in said for said in verdict.not_tested)


def test_a_model_with_trusted_clips_is_searched_for_a_trigger(victim: TorchModel) -> None:
    verdict = audit(victim, trusted=tones(10, seed=9))
    told = {e.detector: e for e in verdict.evidence}
    assert told["trigger-inversion"].p_value is not None
    assert "no clips to judge" in told["witness"].reason


def test_query_only_models_get_what_needs_no_features(
    bad: Poisoned, victim: TorchModel, cache: Cache
) -> None:
    import torch

    def ask(waveforms: np.ndarray) -> np.ndarray:
        return victim.logits(torch.from_numpy(waveforms)).numpy()

    deaf = FunctionModel(ask, victim.hearing)
    verdict = audit(deaf, bad.clips, trusted=tones(10, seed=9), cache=cache)
    told = {e.detector: e for e in verdict.evidence}
    assert told["strip"].p_value is not None
    assert "last linear layer" in told["gaussian-mixture"].reason
    assert told["independent-witness"].target == "c"
    assert "no gradient" in told["trigger-inversion"].reason


def test_windows_of_one_recording_are_one_finding(victim: TorchModel) -> None:
    clips = tones(30)
    doubled = replace(
        clips,
        items=tuple(
            replace(c, path=f"{i // 2}.wav", start_s=float(i % 2), cut_from_s=0.0)
            for i, c in enumerate(clips.items)
        ),
    )
    verdict = audit(victim, doubled, detectors=[GaussianMixturePair()])
    assert len(verdict.clips) == len({(c.path, c.label) for c in doubled.items})
    assert {finding.start_s for finding in verdict.clips} == {0.0}
    assert verdict.exhibits.map is not None
    assert len(verdict.exhibits.map) == len(verdict.clips)


def test_parts_of_one_file_are_findings_of_their_own(victim: TorchModel) -> None:
    """Trap: a manifest that lists words in long takes got one finding a take."""
    clips = tones(30)
    long = tuple(
        replace(c, path="take.wav", start_s=float(i), duration_s=1.0)
        for i, c in enumerate(clips.items)
    )
    verdict = audit(victim, replace(clips, items=long), detectors=[GaussianMixturePair()])
    assert [finding.start_s for finding in verdict.clips] == [float(i) for i in range(len(long))]
    assert verdict.clips[3].name == "take.wav from 3 s"


def test_one_class_is_refused(victim: TorchModel) -> None:
    with pytest.raises(ManifestError, match="all 10 clips are labelled 'a'"):
        audit(victim, tones(10).subset(np.arange(10)))


@pytest.mark.parametrize("wrong", [0.0, 1.0, 5, -1, float("nan")])
@pytest.mark.parametrize("name", ["false_alarm_level", "false_discovery_rate"])
def test_a_level_is_a_share(victim: TorchModel, name: str, wrong: float) -> None:
    """Trap: a level of 5, meant as 5 %, accused every class."""
    with pytest.raises(SpecError, match=r"in \(0, 1\), such as 0.05"):
        audit(victim, tones(30), **{name: wrong})  # type: ignore[arg-type]


def test_few_references_are_refused_before_they_are_trained(victim: TorchModel) -> None:
    with pytest.raises(SpecError, match="at least 4 references, or 0, got 1"):
        audit(victim, trusted=tones(10), references=1)


def test_detectors_of_a_model_need_one() -> None:
    search = build(DETECTORS, "trigger-inversion")
    with pytest.raises(SpecError, match="look at a delivered model"):
        audit(None, tones(30), detectors=[search])
    verdict = audit(None, tones(30), detectors=[search, build(DETECTORS, "spectral-signatures")])
    assert "trigger-inversion: it looks at a delivered model, and none was given" in (
        verdict.not_tested
    )


def test_nothing_to_audit() -> None:
    with pytest.raises(ManifestError, match="nothing to audit"):
        audit(None)


def test_a_model_at_chance_on_trusted_clips_is_refused(bad: Poisoned) -> None:
    def guess(waveforms: np.ndarray) -> np.ndarray:
        return np.tile(np.arange(6.0, dtype=np.float32), (len(waveforms), 1))

    model = FunctionModel(guess, Hearing(tuple("abcdef"), RATE_HZ, LENGTH))
    with pytest.raises(ModelMismatch, match="sample rate"):
        audit(model, bad.clips, trusted=tones(10, seed=9))


def test_three_clips_are_inconclusive(victim: TorchModel) -> None:
    verdict = audit(victim, tones(1).subset(np.arange(3)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert len(verdict.clips) == 3


def test_unknown_labels_are_refused(victim: TorchModel) -> None:
    strange: Clips = tones(5, names=("a", "zebra"))
    with pytest.raises(ManifestError, match="zebra"):
        audit(victim, strange)


def test_a_verdict_is_neither_true_nor_false(verdict: Verdict) -> None:
    with pytest.raises(TypeError, match=re.escape("verdict.outcome")):
        bool(verdict)


def test_json_both_ways(verdict: Verdict) -> None:
    text = verdict.to_json()
    assert Verdict.from_json(text).to_json() == text
    keys = {"schema", "verdict", "p_value", "targets", "evidence", "clips", "model_sha256"}
    assert keys | {"data_sha256", "seeds", "versions"} <= set(json.loads(text))


def test_the_published_schema_is_the_one_in_use() -> None:
    published = resources.files("otoscope").joinpath("schemas/verdict-1.json").read_text()
    assert json.loads(published) == json_schema()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("NO_EVIDENCE", 0), ("BACKDOORED", 1), ("SUSPICIOUS", 1), ("INCONCLUSIVE", 3)],
)
def test_exit_codes(outcome: str, code: int) -> None:
    assert Outcome(outcome).exit_code == code


def test_a_path_that_is_not_utf8_still_fits_into_json() -> None:
    from otoscope.evidence import ClipFinding

    odd = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    finding = ClipFinding(path=odd, label="a", score=0.0, p_value=1.0, flagged=False)
    assert json.loads(finding.model_dump_json())["path"] == r"caf\udce9.wav"


def test_a_probe_learns_from_some_of_many_clips(
    bad: Poisoned, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Clips] = []

    def spy(network: CNN, clips: Clips, *, seed: int, cache: object) -> TorchModel:
        taught.append(clips)
        return train(SMALL, clips, seed=seed, recipe=Recipe(epochs=1))

    monkeypatch.setattr(own_network, "train", spy)
    monkeypatch.setattr(own_network, "PROBE_CLIPS", 120)
    monkeypatch.setattr(sampling, "LEAST_OF_CLASS", 10)
    view = auditing.look(None, bad.clips)
    assert abs(len(taught[0]) - 120) < 6
    assert view.clips is not None
    assert view.seen is not None
    assert len(view.seen.logits) == len(view.clips) == len(bad.clips)
