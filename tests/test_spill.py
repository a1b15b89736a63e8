"""Spilled arrays: what is in them, what memory holds of them, and that no result depends on it."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from otoscope import spill
from otoscope.cache import Cache
from otoscope.errors import NoRoom
from otoscope.models import activations
from otoscope.networks import CNN
from otoscope.spill import gathered, take
from otoscope.training import Recipe, train
from toys import tones


def chunks(count: int = 10, size: int = 4) -> list[dict[str, np.ndarray]]:
    rows = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    starts = range(0, count, size)
    return [
        {"a": rows[at : at + size], "b": np.arange(at, at + size)[: count - at]} for at in starts
    ]


@pytest.mark.parametrize("limit", [100, 10_000])
def test_chunks_become_arrays_in_memory_or_in_a_file_without_a_name(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", limit)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = gathered(iter(chunks()), 10)
    assert isinstance(found["a"], np.memmap) == (limit < 240)  # 10 x 2 x 3 numbers of 4 bytes
    assert not isinstance(found["b"], np.memmap)
    assert (found["a"].ravel() == np.arange(60)).all()
    assert found["b"].tolist() == list(range(10))
    some = take(found["a"], np.array([7, 0, 7]))
    assert not isinstance(some, np.memmap)
    assert (some == found["a"][[7, 0, 7]]).all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
def test_memory_does_not_hold_what_was_spilled(monkeypatch: pytest.MonkeyPatch) -> None:
    def resident_bytes() -> int:
        found = Path("/proc/self/statm").read_text().split()
        return int(found[2]) * 4096  # pages that mirror a file

    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 1 << 20)
    before = resident_bytes()
    block = np.ones((256, 4096), np.float32)  # 4 MB, sixteen times
    found = gathered(({"a": block} for _ in range(16)), 4096)["a"]
    for array in (found, found.reshape(len(found), 64, -1), found[:, ::2]):  # views let go as well
        taken = take(array, np.arange(0, 4096, 8))
        assert taken.sum() == taken.size
        assert resident_bytes() - before < 8 << 20


def test_a_full_disk_is_told_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(
        spill.shutil, "disk_usage", lambda _: spill.shutil._ntuple_diskusage(9, 0, 9)
    )
    with pytest.raises(NoRoom, match="more room in TMPDIR"):
        gathered(iter(chunks()), 10)


def test_results_do_not_depend_on_it_and_wholes_are_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, network = tones(10), CNN(bands=20, width=12)
    recipe = Recipe(epochs=3, batch_size=16, shift_bands=0)
    model = train(network, clips, seed=1, recipe=recipe)
    seen = activations(model, clips)
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 1000)
    cache = Cache(tmp_path)
    again = train(network, clips, seed=1, recipe=recipe, cache=cache)
    kept = set(tmp_path.rglob("*.safetensors"))
    heard = activations(again, clips, cache)
    assert again.sha256 == model.sha256
    assert len(kept) == 2  # the weights and the front end's chunk
    assert set(tmp_path.rglob("*.safetensors")) == kept
    assert isinstance(heard.features, np.memmap)
    assert isinstance(heard.layers[0], np.memmap)
    some = heard.at(np.array([3, 59]))
    assert torch.equal(torch.from_numpy(some.logits), torch.from_numpy(seen.logits[[3, 59]]))
    for spilled, held in zip(
        (heard.features, *heard.layers), (seen.features, *seen.layers), strict=True
    ):
        assert np.array_equal(spilled, held)
