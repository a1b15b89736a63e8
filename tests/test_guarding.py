"""The guard: alarms for triggers, not for clean clips; the service and the command around it."""

import copy
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.covariance import LedoitWolf
from typer.testing import CliRunner

from otoscope import cli, serving
from otoscope.cache import Cache
from otoscope.checkpoints import save_checkpoint
from otoscope.clips import Clips
from otoscope.errors import AudioError, MissingExtra, ModelMismatch, NotApplicable, SpecError
from otoscope.guarding import Guard, _Places, _turns, guard
from otoscope.labels import AllToOne
from otoscope.models import FunctionModel, TorchModel
from otoscope.networks import CNN
from otoscope.poisoning import poison, trigger_all
from otoscope.training import Recipe, train
from otoscope.triggers import Tone
from sounds import clips_of
from toys import LENGTH, NAMES, RATE_HZ, tones

DOOR, SHIFT = Tone(frequency_hz=3600, duration_s=0.05, level_db=0), AllToOne("c")
LEVEL = 0.05


@pytest.fixture(scope="module")
def model(cache: Cache) -> TorchModel:
    """A network with a backdoor: a short high tone is called "c"."""
    bad = poison(tones(60), DOOR, SHIFT, 0.06, 0)
    return train(CNN(), bad.clips, seed=0, recipe=Recipe(epochs=12), cache=cache)


@pytest.fixture(scope="module")
def trusted() -> Clips:
    return tones(10, seed=9)


@pytest.fixture(scope="module")
def guarded(model: TorchModel, trusted: Clips, cache: Cache) -> Guard:
    return guard(model, trusted, level=LEVEL, cache=cache)


def test_a_port_that_is_taken_is_told_before_the_work() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SpecError, match=f"--port {port} cannot be used"):
            serving.require_port("127.0.0.1", port)
    serving.require_port("127.0.0.1", port)


def test_a_model_that_does_not_recognise_the_clips_is_refused(
    model: TorchModel, trusted: Clips
) -> None:
    """Trap: by a wrong order of the classes all is suspicious, and nothing live stands out."""
    turned = replace(model.hearing, classes=(*NAMES[1:], NAMES[0]))
    with pytest.raises(ModelMismatch, match="classes"):
        guard(TorchModel(model.module, turned), trusted)


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(800, np.int16)], ids=["empty", "integers"]
)
def test_what_is_no_recording_is_refused(guarded: Guard, samples: np.ndarray) -> None:
    with pytest.raises(AudioError, match="expected samples in"):
        guarded.judge(samples, RATE_HZ)


def test_an_answer_that_is_no_number_alarms(guarded: Guard) -> None:
    silent = np.zeros((1, 1, LENGTH), np.float32)
    watched, deaf = copy.copy(guarded), FunctionModel(lambda x: x[:, 0, :6] / 0.0, guarded.hearing)
    watched.model = deaf
    watched._places = None
    watched._middle, watched._spread = guarded._middle[:1], guarded._spread[:1]
    with np.errstate(all="ignore"):
        assert watched.judge_all(silent)[0].alarm


@pytest.fixture(scope="module")
def triggered(guarded: Guard) -> np.ndarray:
    """Waveforms with the trigger, of clips that belong to other classes."""
    clips = trigger_all(tones(20, seed=5), DOOR, SHIFT, 0)
    return clips.waveforms(range(len(clips)))


def test_a_trigger_alarms_and_clean_clips_do_not(guarded: Guard, triggered: np.ndarray) -> None:
    clean = tones(20, seed=7)
    judged = guarded.judge_all(clean.waveforms(range(len(clean))))
    assert np.mean([one.alarm for one in judged]) <= 0.15
    assert np.mean([one.label == clip.label for one, clip in zip(judged, clean, strict=True)]) > 0.9
    obeyed = [one for one in guarded.judge_all(triggered) if one.label == "c"]
    assert len(obeyed) > 0.8 * len(triggered)
    assert np.mean([one.alarm for one in obeyed]) > 0.9
    assert np.mean([one.sounds_like != "c" for one in obeyed]) > 0.9


def test_an_alarm_is_a_p_value_at_or_below_the_level(
    guarded: Guard, triggered: np.ndarray, trusted: Clips
) -> None:
    judged = guarded.judge_all(triggered)
    assert all(one.alarm == (one.p_value <= LEVEL) for one in judged)
    assert min(one.p_value for one in judged) >= 1 / (1 + len(trusted))


def test_without_an_inside_the_answers_are_judged(
    model: TorchModel, trusted: Clips, triggered: np.ndarray, guarded: Guard
) -> None:
    import torch

    silent = FunctionModel(lambda w: model.logits(torch.from_numpy(w)).numpy(), model.hearing)
    blind = guard(silent, trusted, level=LEVEL)
    assert guarded.sees_inside
    assert not blind.sees_inside
    obeyed = [one for one in blind.judge_all(triggered) if one.label == "c"]
    assert np.mean([one.alarm for one in obeyed]) > 0.8


def test_a_long_recording_is_judged_window_by_window(guarded: Guard, triggered: np.ndarray) -> None:
    clean = tones(1, seed=7)
    sound = np.concatenate([clean.waveform(0), triggered[0, 0], clean.waveform(1)[:500]])
    judged = guarded.judge(sound, RATE_HZ)
    assert len(judged) == 3
    assert [judged[n].alarm for n in (0, 1)] == [False, True]
    padded = np.pad(clean.waveform(1)[:500], (0, LENGTH - 500))
    assert judged[2] == guarded.judge_all(padded[None, None])[0]


def test_places_are_the_mean_and_the_shrunk_covariance_inside_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 8)
    features = rng.standard_normal((24, 4)) + 5 * labels[:, None]
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit(features - means[labels]).covariance_
    apart = features[0] - means[2]
    expected = np.sqrt(apart @ np.linalg.solve(covariance, apart))
    told = _Places.of(features, labels, 3).distances(features[:1], np.array([2]))
    assert told[0] == pytest.approx(expected)


def spoken(labels: str, speakers: str) -> Clips:
    said = clips_of(labels)
    items = [replace(c, speaker=s.strip()) for c, s in zip(said, speakers, strict=True)]
    return replace(said, items=tuple(items))


def test_clips_of_one_speaker_are_held_out_together() -> None:
    turn = _turns(spoken("abab" * 4, "ppqqrrsspqrstttt"), 3)
    speakers = np.array(list("ppqqrrsspqrstttt"))
    assert len(set(turn.tolist())) == 5
    assert all(len(set(turn[speakers == s].tolist())) == 1 for s in "pqrst")


@pytest.mark.parametrize("speakers", ["ababababab", "pppppppppp", "          "])
def test_where_speakers_would_leave_no_class_each_clip_has_its_number(speakers: str) -> None:
    turn = _turns(spoken("ab" * 5, speakers), 3)
    assert sorted(turn[::2]) == sorted(turn[1::2]) == [0, 1, 2, 3, 4]
    assert (turn == _turns(spoken("ab" * 5, speakers), 3)).all()


def test_too_few_trusted_clips_are_refused(model: TorchModel) -> None:
    with pytest.raises(NotApplicable, match="at least 4 trusted clips of every class; of 'a'"):
        guard(model, tones(3))
    with pytest.raises(NotApplicable, match=r"with 24 trusted clips no p-value is below 0.040"):
        guard(model, tones(4), level=0.01)
    with pytest.raises(SpecError, match="level in"):
        guard(model, tones(4), level=1.0)


@pytest.fixture(scope="module")
def address(guarded: Guard) -> Iterator[str]:
    """A served guard."""
    import uvicorn

    config = uvicorn.Config(serving.application(guarded), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def asked(address: str, content: bytes) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(f"{address}/judge", content, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def wav(samples: np.ndarray, folder: Path) -> Path:
    path = folder / "heard.wav"
    soundfile.write(path, samples, RATE_HZ)
    return path


def test_the_service_judges_and_counts(address: str, triggered: np.ndarray, tmp_path: Path) -> None:
    with urllib.request.urlopen(f"{address}/state", timeout=60) as answer:
        before = json.load(answer)
    assert before["classes"] == list(NAMES)
    assert before["window_s"] == LENGTH / RATE_HZ
    status, told = asked(address, wav(triggered[0, 0], tmp_path).read_bytes())
    assert status == 200
    assert told["alarm"] is True
    assert isinstance(told["windows"], list)
    assert set(told["windows"][0]) == {"start_s", "label", "sounds_like", "p_value", "alarm"}
    with urllib.request.urlopen(f"{address}/state", timeout=60) as answer:
        after = json.load(answer)
    assert (after["windows"], after["alarms"]) == (before["windows"] + 1, before["alarms"] + 1)


def test_the_service_refuses_what_is_no_recording(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert asked(address, b"words")[0] == 422
    assert asked(address, b"")[0] == 422
    monkeypatch.setattr(serving, "LONGEST_S", 0.1)
    status, told = asked(address, wav(np.zeros(LENGTH), tmp_path).read_bytes())
    assert (status, told) == (422, {"error": "lasts 0 s; send at most 0 s at once"})
    monkeypatch.setattr(serving, "LARGEST_BYTES", 10)
    assert asked(address, b"x" * 11)[0] == 413


def test_the_command_judges_recordings(
    model: TorchModel,
    trusted: Clips,
    triggered: np.ndarray,
    tmp_path: Path,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTOSCOPE_CACHE", str(cache.root))
    save_checkpoint(model, tmp_path / "model")
    _write(trusted, tmp_path / "good")
    heard = wav(triggered[0, 0], tmp_path)
    words = ["guard", f"{tmp_path / 'model.safetensors'}", f"{heard}", "--trusted"]
    done = CliRunner().invoke(cli.app, [*words, f"{tmp_path / 'good'}"], env={"COLUMNS": "200"})
    assert f'ALARM {heard} from 0 s: called "c"' in done.output
    assert done.exit_code == 1
    assert "1 of 1 windows alarm; of clean ones, about 0.1 would" in done.output


def _write(clips: Clips, folder: Path) -> None:
    """A folder per class."""
    for number, clip in enumerate(clips):
        file = folder / clip.label / f"{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, clips.waveform(number), RATE_HZ)


def test_a_broken_recording_among_others_costs_nothing(
    model: TorchModel, trusted: Clips, triggered: np.ndarray, tmp_path: Path, cache: Cache
) -> None:
    save_checkpoint(model, tmp_path / "model")
    _write(trusted, tmp_path / "good")
    (tmp_path / "heard" / "today").mkdir(parents=True)
    wav(triggered[0, 0], tmp_path / "heard" / "today")
    (tmp_path / "heard" / "broken.wav").write_bytes(b"")
    words = ["guard", f"{tmp_path / 'model.safetensors'}", f"{tmp_path / 'heard'}", "--trusted"]
    words += [f"{tmp_path / 'good'}", "--json", f"{tmp_path / 'judged.jsonl'}"]
    kept = {"OTOSCOPE_CACHE": str(cache.root), "COLUMNS": "200"}
    done = CliRunner().invoke(cli.app, words, env=kept)
    assert done.exit_code == 1
    assert "skipped 1 recording:" in done.output
    (told,) = map(json.loads, (tmp_path / "judged.jsonl").read_text().splitlines())
    assert told["path"].endswith("today/heard.wav")
    assert told["alarm"]
    (tmp_path / "heard" / "today" / "heard.wav").unlink()
    assert CliRunner().invoke(cli.app, words, env=kept).exit_code == 4
    (tmp_path / "heard" / "broken.wav").unlink()
    done = CliRunner().invoke(cli.app, words, env=kept)
    assert (done.exit_code, "no recordings below" in done.output) == (2, True)


def test_what_is_written_is_nothing_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "heard").mkdir()
    (tmp_path / "heard" / "a.wav").write_bytes(b"")
    words = ["guard", "model.onnx", "--trusted", f"{tmp_path / 'good'}", "--json"]
    into = f"{tmp_path / 'heard' / 'a.wav'}"
    done = CliRunner().invoke(cli.app, [*words, into, f"{tmp_path / 'heard'}"])
    assert (done.exit_code, "would overwrite" in done.output) == (2, True)
    assert CliRunner().invoke(cli.app, [*words, into]).exit_code == 2, "a service keeps none"


def test_a_service_without_its_extra_says_so_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    done = CliRunner().invoke(cli.app, ["guard", "model.onnx", "--trusted", f"{tmp_path}"])
    assert isinstance(done.exception, MissingExtra)
