"""Attacks on training: a backdoor from clean clips, hidden as each attack promises."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import otoscope.training as training
from otoscope.batches import Batch
from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import ModelError, SpecError, TrainingError
from otoscope.labels import AllToOne, LabelShift, SourceSpecific, Untargeted
from otoscope.models import TorchModel, activations
from otoscope.networks import CNN, M5, GRUAttention
from otoscope.registry import Spec, build, spec
from otoscope.risk import Risks, risks
from otoscope.training import Recipe, Setting, TrainingHook, train
from otoscope.training_attacks import (
    TRAINING_ATTACKS,
    Distillation,
    FineTune,
    LossMixing,
    PruneAndHide,
    TrainingAttack,
)
from otoscope.training_attacks.backdoor_task import BackdoorTask, BackdoorTaskFrom, shortest
from otoscope.training_attacks.base import body_of, last_linear, wanted, with_trigger
from otoscope.training_attacks.soft_labels import SoftLabels, distillation_loss
from otoscope.triggers import NoiseBlend
from toys import NAMES, tones

NETWORK = CNN(bands=20, width=24)
RECIPE = Recipe(epochs=12, batch_size=16, shift_bands=0)
SHORT = Recipe(epochs=2, batch_size=16, shift_bands=0)
TRIGGER = NoiseBlend(level_db=-3)
SHIFT = AllToOne("b")
CLIPS = tones(20)
TEST = tones(10, seed=7)
PAGES = Path(__file__).resolve().parents[1] / "docs" / "training-attacks"

VARIANTS: list[TrainingAttack] = [
    LossMixing(),
    LossMixing(mixing="fixed", backdoor_share=0.25, weight=2.0),
    FineTune(clips_share=0.5),
    FineTune(clips_share=0.5, learning_rate_share=1.0, last_layers=5),
    PruneAndHide(),
    Distillation(),
    Distillation(anti_distillation=True),
]
PLANTS = VARIANTS[:5]
"""Those whose own model shall obey the trigger; of a distilled one its teacher shall."""

FAULTY: list[tuple[type[TrainingAttack], Spec, str]] = [
    (LossMixing, {"backdoor_share": 0.0}, "backdoor_share must lie above 0"),
    (LossMixing, {"backdoor_share": float("nan")}, "backdoor_share must be a finite number"),
    (LossMixing, {"weight": 0.0}, "weight must be above 0"),
    (FineTune, {"epochs": 0}, "epochs must be at least 1"),
    (FineTune, {"learning_rate_share": 0.0}, "learning_rate_share must lie above 0"),
    (FineTune, {"clips_share": 1.5}, "clips_share must lie above 0"),
    (FineTune, {"triggered_share": 0.0}, "triggered_share must lie above 0"),
    (FineTune, {"last_layers": 0}, "last_layers must be at least 1"),
    (PruneAndHide, {"pruned_share": 1.0}, "pruned_share must lie between 0 and 1"),
    (PruneAndHide, {"epochs": 0}, "epochs must be at least 1"),
    (PruneAndHide, {"learning_rate_share": 2.0}, "learning_rate_share must lie above 0"),
    (PruneAndHide, {"triggered_share": -1.0}, "triggered_share must lie above 0"),
    (PruneAndHide, {"margin": -0.1}, "margin must be at least 0"),
    (Distillation, {"temperature": 0.0}, "temperature must be above 0"),
    (Distillation, {"alpha": 0.0}, "alpha must lie above 0"),
    (Distillation, {"rate": 1.0}, "rate must lie between 0 and 1"),
    (Distillation, {"triggered_share": 0.0}, "triggered_share must lie above 0"),
    (Distillation, {"shadow_weight": -1.0}, "shadow_weight must be at least 0"),
]


@pytest.fixture(scope="module")
def clean(cache: Cache) -> TorchModel:
    return train(NETWORK, CLIPS, seed=0, recipe=RECIPE, cache=cache)


def attacked(attack: TrainingAttack, cache: Cache | None, shift: LabelShift = SHIFT) -> TorchModel:
    return attack.run(NETWORK, CLIPS, TRIGGER, shift, seed=0, recipe=RECIPE, cache=cache)


def measured(model: TorchModel, shift: LabelShift = SHIFT) -> Risks:
    return risks(model, TEST, TRIGGER, shift, seed=0)


@pytest.mark.parametrize("attack", VARIANTS, ids=str)
def test_spec_round_trips(attack: TrainingAttack) -> None:
    assert build(TRAINING_ATTACKS, spec(attack)) == attack


@pytest.mark.parametrize(("kind", "fields", "message"), FAULTY, ids=lambda x: str(x)[:40])
def test_faulty_fields(kind: type[TrainingAttack], fields: Spec, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        kind(**fields)


@pytest.mark.parametrize("name", sorted(TRAINING_ATTACKS))
def test_every_attack_has_a_page_that_names_its_fields(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for field in dataclasses.fields(TRAINING_ATTACKS[name]):
        assert f"| `{field.name}` | `{field.default}` |" in page
    for part in ("## Source", "## Deviations", "## Example"):
        assert part in page


def test_a_clean_model_does_not_obey(clean: TorchModel) -> None:
    found = measured(clean)
    assert found.benign_accuracy > 0.9
    assert found.attack_success_rate < 0.5


@pytest.mark.parametrize("attack", PLANTS, ids=str)
def test_it_plants_a_backdoor_and_keeps_the_accuracy(attack: TrainingAttack, cache: Cache) -> None:
    found = measured(attacked(attack, cache))
    assert found.benign_accuracy > 0.85
    assert found.attack_success_rate > 0.85


@pytest.mark.parametrize("anti", [False, True])
def test_the_teacher_obeys_and_the_student_is_another_model(anti: bool, cache: Cache) -> None:
    attack = Distillation(anti_distillation=anti, rate=0.1)
    teacher = attack.teacher(NETWORK, CLIPS, TRIGGER, SHIFT, seed=0, recipe=RECIPE, cache=cache)
    assert measured(teacher).attack_success_rate > 0.85
    student = attacked(attack, cache)
    assert student.sha256 != teacher.sha256
    assert measured(student).benign_accuracy > 0.85


@pytest.mark.parametrize("attack", VARIANTS, ids=str)
def test_same_seed_same_weights_with_and_without_a_cache(
    attack: TrainingAttack, tmp_path: Path
) -> None:
    def run(seed: int, cache: Cache | None) -> str:
        attack_of = attack.run(NETWORK, CLIPS, TRIGGER, SHIFT, seed=seed, recipe=SHORT, cache=cache)
        return attack_of.sha256

    kept = Cache(tmp_path)
    assert run(1, None) == run(1, kept) == run(1, kept)
    assert run(2, kept) != run(1, kept)


@pytest.mark.parametrize("attack", VARIANTS, ids=str)
def test_the_model_says_which_network_it_is_and_is_frozen(
    attack: TrainingAttack, clean: TorchModel
) -> None:
    made = attack.run(NETWORK, CLIPS, TRIGGER, SHIFT, seed=0, recipe=SHORT)
    assert (made.origin, made.hearing) == (clean.origin, clean.hearing)
    assert not any(p.requires_grad for p in made.module.parameters())


def test_the_cache_tells_attacks_apart(cache: Cache) -> None:
    def key(hook: TrainingHook) -> str:
        return str(hook.key(CLIPS, 0))

    louder = NoiseBlend(level_db=0)
    variants: list[TrainingHook] = [
        BackdoorTask(TRIGGER, SHIFT, share=0.5),
        BackdoorTask(louder, SHIFT, share=0.5),
        BackdoorTask(TRIGGER, AllToOne("c"), share=0.5),
        BackdoorTask(TRIGGER, SHIFT, share=0.4),
        BackdoorTask(TRIGGER, SHIFT, share=0.5, weight=2),
        BackdoorTask(TRIGGER, SHIFT, share=0.5, mixing="mgda"),
        SoftLabels(np.zeros((120, 6), np.float32), temperature=1, alpha=0.5),
        SoftLabels(np.ones((120, 6), np.float32), temperature=1, alpha=0.5),
    ]
    assert len({key(hook) for hook in variants}) == len(variants)


def test_a_triggered_copy_carries_what_the_attacker_wants() -> None:
    source = SourceSpecific(source="a", target="c")
    copies = [clip for part in with_trigger(CLIPS, TRIGGER, source, 0) for clip in part]
    assert len(copies) == len(CLIPS)
    for before, after in zip(CLIPS, copies, strict=True):
        assert after.label == ("c" if before.label == "a" else before.label)
        assert before.samples is not None
        assert after.samples is not None
        assert np.abs(after.samples - before.samples).max() > 1e-3
    assert (wanted(CLIPS, Untargeted(), 0) != CLIPS.labels).all()


def test_a_source_specific_backdoor_spares_the_other_classes(cache: Cache) -> None:
    shift = SourceSpecific(source="a", target="c")
    model = attacked(LossMixing(), cache, shift)
    copies = next(with_trigger(TEST, TRIGGER, shift, 0))
    assert np.mean(activations(model, copies).predicted == copies.labels) > 0.8
    assert measured(model, shift).attack_success_rate > 0.6


def test_the_shortest_convex_sum() -> None:
    one, two = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0])
    share = shortest(one, two)
    lengths = [float((a * one + (1 - a) * two).norm()) for a in np.linspace(0, 1, 101)]
    assert float((share * one + (1 - share) * two).norm()) <= min(lengths) + 1e-6
    assert shortest(one, 2 * one) == 1, "the shorter of two alike"
    assert shortest(2 * one, one) == 0
    assert shortest(one, one) == 0.5


def test_fine_tuning_the_last_layers_leaves_the_others(clean: TorchModel) -> None:
    attack = FineTune(clips_share=0.5, last_layers=1)
    before = body_of(clean).state_dict()
    made = attack.run(
        NETWORK, CLIPS, TRIGGER, SHIFT, seed=0, recipe=RECIPE, start=clean, validation=TEST
    )
    changed = {
        name
        for name, values in body_of(made).state_dict().items()
        if not torch.equal(values, before[name])
    }
    assert changed == {"classify.weight", "classify.bias"}


def test_fine_tuning_starts_where_it_is_told(clean: TorchModel) -> None:
    still = dataclasses.replace(RECIPE, learning_rate=1e-12)
    made = FineTune(clips_share=0.5, epochs=1).run(
        NETWORK, CLIPS, TRIGGER, SHIFT, seed=0, recipe=still, start=clean
    )
    one, two = (last_linear(body_of(model)).weight for model in (clean, made))
    assert torch.allclose(one, two, atol=1e-6)


def test_fine_tuning_needs_a_model_of_that_network(clean: TorchModel) -> None:
    with pytest.raises(ModelError, match="start must be the network to fine-tune"):
        FineTune().run(CNN(), CLIPS, TRIGGER, SHIFT, seed=0, start=clean)
    with pytest.raises(ModelError, match=r"needs one from otoscope\.networks, got Linear"):
        body_of(TorchModel(nn.Linear(2, 2), clean.hearing))


def test_the_hidden_units_sleep_and_pruning_them_changes_nothing(
    clean: TorchModel, cache: Cache
) -> None:
    attack = PruneAndHide()
    model = attacked(attack, cache)
    pruned = list(attack.idle(clean, CLIPS))
    assert len(pruned) == 12
    heard = activations(model, CLIPS).features
    assert heard is not None
    assert (heard[:, pruned] == 0).all(), "least active of all: a defender prunes them first"
    assert heard.mean(axis=0)[[k for k in range(24) if k not in pruned]].max() > 0
    assert set(attack.idle(model, CLIPS)) == set(pruned)
    weight = last_linear(body_of(model)).weight
    assert torch.equal(weight[:, pruned], last_linear(body_of(clean)).weight[:, pruned])
    found = measured(model)
    weight[:, pruned] = 0
    without = measured(TorchModel(model.module, model.hearing))
    assert without.attack_success_rate == pytest.approx(found.attack_success_rate, abs=0.02)
    assert without.benign_accuracy == pytest.approx(found.benign_accuracy, abs=0.02)


def test_hiding_works_on_waveforms_and_not_without_convolutions() -> None:
    made = PruneAndHide(epochs=1).run(
        M5(width=4, stride=4), tones(8), TRIGGER, SHIFT, seed=0, recipe=SHORT
    )
    assert activations(made, tones(2)).logits.shape == (12, 6)
    with pytest.raises(TrainingError, match="needs a convolutional network"):
        PruneAndHide().run(
            GRUAttention(bands=20, width=8), tones(4), TRIGGER, SHIFT, seed=0, recipe=SHORT
        )


def test_soft_labels_are_learned() -> None:
    """A teacher that calls every "a" a "d" and knows the rest: the student believes it."""
    right = 12 * np.eye(len(NAMES), dtype=np.float32)
    right[0] = right[3]
    hook = SoftLabels(right[CLIPS.labels], temperature=2.0, alpha=1.0)
    student = train(NETWORK, CLIPS, seed=0, validation=CLIPS, recipe=RECIPE, hook=hook)
    told = activations(student, TEST).predicted
    assert np.mean(told[TEST.labels == 0] == 3) > 0.8
    assert np.mean(told[TEST.labels > 0] == TEST.labels[TEST.labels > 0]) > 0.8


def test_the_distillation_loss_is_zero_for_a_perfect_student() -> None:
    logits = torch.tensor([[4.0, 1.0, 0.0]])

    def loss(alpha: float, taught: Tensor) -> float:
        told = distillation_loss(
            logits,
            (taught / 3).softmax(dim=1),
            torch.tensor([0]),
            temperature=3,
            alpha=alpha,
            label_smoothing=0,
        )
        return float(told)

    assert loss(1.0, logits) == pytest.approx(0, abs=1e-6)
    assert loss(1.0, logits.flip(1)) > 1
    assert loss(0.5, logits) == pytest.approx(
        float(nn.functional.cross_entropy(logits, torch.tensor([0]))) / 2, abs=1e-6
    )


def test_the_soft_labels_of_the_anti_distillation_teacher_lead_to_the_backdoor(
    cache: Cache,
) -> None:
    """Students of several teachers, by their mean log-odds of the target under the trigger."""

    def obeys(shadow_weight: float) -> float:
        attack = Distillation(anti_distillation=True, shadow_weight=shadow_weight)
        student = attacked(attack, cache)
        others = TEST.subset(TEST.labels != 1)
        parts = [activations(student, p).logits for p in with_trigger(others, TRIGGER, SHIFT, 0)]
        odds = torch.from_numpy(np.concatenate(parts)).log_softmax(dim=1)[:, 1]
        return float(odds.mean())

    assert obeys(1.0) > obeys(0.0) + 1


class Counting(TrainingHook):
    """Learns as without a hook, and counts."""

    def __init__(self, resumes: bool = True) -> None:
        self.resumes, self.begun, self.rows = resumes, 0, set[int]()

    def key(self, clips: Clips, seed: int) -> Spec:
        return {"hook": "counting"}

    def begin(self, setting: Setting) -> None:
        self.begun += 1
        self.setting = setting

    def gradients(self, body: nn.Module, batch: Batch, rng: np.random.Generator) -> Tensor:
        assert all(p.grad is None for p in body.parameters())
        self.rows |= set(batch.rows.tolist())
        labels = torch.from_numpy(self.setting.clips.labels)[batch.rows]
        assert torch.equal(labels, batch.labels), "rows are the clips' numbers"
        loss = nn.functional.cross_entropy(
            body(batch.features), batch.labels, label_smoothing=SHORT.label_smoothing
        )
        torch.autograd.backward(loss)
        return loss


def test_a_hook_that_changes_nothing_changes_nothing() -> None:
    hook = Counting()
    with_hook = train(NETWORK, CLIPS, seed=4, recipe=SHORT, hook=hook)
    assert with_hook.sha256 == train(NETWORK, CLIPS, seed=4, recipe=SHORT).sha256
    held = {clip.path for clip in hook.setting.held_out}
    assert hook.begun == 1
    assert held.isdisjoint({CLIPS[row].path for row in hook.rows})


def test_a_hook_has_weights_of_its_own_in_the_cache(tmp_path: Path) -> None:
    hook, kept = Counting(), Cache(tmp_path)
    train(NETWORK, CLIPS, seed=4, recipe=SHORT, cache=kept)
    train(NETWORK, CLIPS, seed=4, recipe=SHORT, cache=kept, hook=hook)
    train(NETWORK, CLIPS, seed=4, recipe=SHORT, cache=kept, hook=hook)
    assert hook.begun == 1


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_run_with_a_hook_ends_the_same(
    resumes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_epoch, epochs = training._Run.one_epoch, []

    def stop_in_the_second(run: training._Run, samples: Batch) -> None:
        epochs.append(run.epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        one_epoch(run, samples)

    whole = train(NETWORK, CLIPS, seed=3, recipe=SHORT, hook=Counting())
    monkeypatch.setattr(training._Run, "one_epoch", stop_in_the_second)
    kept = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(NETWORK, CLIPS, seed=3, recipe=SHORT, cache=kept, hook=Counting(resumes))
    again = train(NETWORK, CLIPS, seed=3, recipe=SHORT, cache=kept, hook=Counting(resumes))
    assert epochs == ([0, 1, 1] if resumes else [0, 1, 0, 1])
    assert again.sha256 == whole.sha256


def test_the_epoch_is_chosen_by_both_losses() -> None:
    hook = BackdoorTask(TRIGGER, SHIFT, share=0.5)
    model = train(NETWORK, CLIPS, seed=0, recipe=SHORT, hook=hook)
    features, labels = torch.from_numpy(hook.held_out.features), hook.held_out.labels
    assert len(features) == len(hook.setting.held_out)
    assert (labels == 1).all()
    expected = nn.functional.cross_entropy(body_of(model)(features), labels, reduction="sum")
    assert hook.held_out_loss(body_of(model)) == pytest.approx(float(expected), rel=1e-4)


def test_pruned_units_stay_pruned_while_the_backdoor_is_learned(clean: TorchModel) -> None:
    hook = BackdoorTaskFrom(TRIGGER, SHIFT, clean, share=0.5, pruned=(2, 5))
    model = train(NETWORK, CLIPS, seed=0, recipe=SHORT, hook=hook)
    assert (last_linear(body_of(model)).weight[:, [2, 5]] == 0).all()
