"""The training loop and the checkpoint: seeded, resumable, restored, refused when damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import otoscope.training as training
from otoscope import metrics
from otoscope.batches import front_end_features, shifted
from otoscope.cache import Cache
from otoscope.checkpoints import load_checkpoint, save_checkpoint
from otoscope.errors import ModelError, TrainingError
from otoscope.models import Hearing, activations
from otoscope.networks import CNN, M5
from otoscope.training import Recipe, train
from toys import tones

SMALL = CNN(bands=20, width=12)
SHORT = Recipe(epochs=4, batch_size=16, shift_bands=0)


def weights(model: training.TorchModel) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.module.state_dict().values()]


def test_it_learns_what_can_be_learnt() -> None:
    model = train(SMALL, tones(40), seed=0, recipe=Recipe(epochs=12, batch_size=16, shift_bands=0))
    fresh = tones(20, seed=5)
    assert metrics.accuracy(activations(model, fresh).predicted, fresh.labels) > 0.9


def test_same_seed_same_weights() -> None:
    clips = tones(10)
    one, same, other = (train(SMALL, clips, seed=s, recipe=SHORT) for s in (1, 1, 2))
    assert one.sha256 == same.sha256
    assert one.sha256 != other.sha256


def test_a_raw_waveform_network_trains_too() -> None:
    model = train(M5(width=4, stride=4), tones(8), seed=0, recipe=SHORT)
    assert activations(model, tones(2)).logits.shape == (12, 6)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tones(10)
    whole = train(SMALL, clips, seed=3, recipe=SHORT)
    one_epoch, calls = training._Run.one_epoch, []

    def stop_in_the_third(run: training._Run, samples: object) -> None:
        calls.append(run.epoch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        one_epoch(run, samples)  # type: ignore[arg-type]

    monkeypatch.setattr(training._Run, "one_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, clips, seed=3, recipe=SHORT, cache=Cache(tmp_path))
    resumed = train(SMALL, clips, seed=3, recipe=SHORT, cache=Cache(tmp_path))
    assert calls == [0, 1, 2, 2, 3]
    assert all(map(np.array_equal, weights(whole), weights(resumed)))
    again = train(SMALL, clips, seed=3, recipe=SHORT, cache=Cache(tmp_path))
    assert len(calls) == 5
    assert again.sha256 == whole.sha256


def test_the_callers_denormal_setting_is_restored() -> None:
    was = torch.set_flush_denormal(False)
    assert was
    train(SMALL, tones(4), seed=0, recipe=Recipe(epochs=1, batch_size=8))
    assert (torch.tensor([1e-39]) * 1.0).item() != 0


@pytest.mark.parametrize("clips", [tones(1), tones(40, names=("a",))], ids=["few", "one class"])
def test_too_little_to_train_on(clips: object) -> None:
    with pytest.raises(TrainingError, match="at least 2 classes and 8 clips"):
        train(SMALL, clips, seed=0)  # type: ignore[arg-type]


def test_divergence_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"lower recipe\.learning_rate"):
        train(SMALL, tones(8), seed=0, recipe=Recipe(epochs=2, batch_size=8, learning_rate=1e30))


def test_shifting_moves_time_and_bands_and_repeats_the_edge() -> None:
    plane = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(64, 1, 1, 1)
    moved = shifted(plane, 0.25, 1, np.random.default_rng(0))
    assert set(moved.flatten().tolist()) <= set(range(12))
    assert len({tuple(row.flatten().tolist()) for row in moved}) == 9  # 3 moves in each direction
    assert torch.equal(shifted(plane, 0.0, 0, np.random.default_rng(0)), plane)


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    model = train(SMALL, tones(8), seed=0, recipe=SHORT)
    path = save_checkpoint(model, tmp_path / "deep" / "model", notes={"by": "test"})
    back = load_checkpoint(path)
    assert (back.sha256, back.hearing) == (model.sha256, model.hearing)
    sounds = torch.rand(3, 1, 2000) - 0.5
    assert torch.allclose(back.logits(sounds), model.logits(sounds), atol=1e-4)


def test_a_checkpoint_whose_files_disagree_is_refused(tmp_path: Path) -> None:
    one, two = (train(SMALL, tones(8), seed=s, recipe=SHORT) for s in (0, 1))
    path = save_checkpoint(one, tmp_path / "one")
    save_checkpoint(two, tmp_path / "two").replace(path)
    with pytest.raises(ModelError, match=r"not those that one\.json describes"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(train(SMALL, tones(8), seed=0, recipe=SHORT), tmp_path / "model")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="not a whole Otoscope checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_names_its_classes(tmp_path: Path) -> None:
    path = save_checkpoint(train(SMALL, tones(8), seed=0, recipe=SHORT), tmp_path / "model")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["classes"] == list("abcdef")
    assert (card["sample_rate"], card["length"]) == (8000, 2000)


def test_a_clip_that_comes_often_is_heard_once() -> None:
    clips = tones(3)
    again = clips.subset(np.tile(np.arange(len(clips))[::-1], 3))
    listener = CNN().build(Hearing(clips.classes, clips.sample_rate, clips.length), 0)
    heard: list[int] = []
    listener.front_end.register_forward_hook(lambda _, args, __: heard.append(len(args[0])))
    features = front_end_features(listener, again)
    assert sum(heard) == len(clips)
    one_by_one = [listener.front_end(torch.from_numpy(batch)) for batch in again.batches()]
    assert np.array_equal(features, np.concatenate([one.numpy() for one in one_by_one]))
