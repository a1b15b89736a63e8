"""The cache: whole or not there, and keys that know their content."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from otoscope.cache import Cache, at_hand, digest, remembered, write_atomically
from otoscope.errors import OutputError


def test_arrays_come_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("ab12", {"x": np.arange(6.0).reshape(2, 3)[:, ::2]})
    found = cache.get("ab12")
    assert found is not None
    assert np.array_equal(found["x"], [[0.0, 2.0], [3.0, 5.0]])
    cache.drop("ab12")
    assert cache.get("ab12") is None


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("ab12", {"x": np.ones(3)})
    cache.path("ab12").write_bytes(b"half")
    assert remembered(cache, "ab12", lambda: {"x": np.zeros(1)})["x"].tolist() == [0.0]


def test_a_value_is_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.ones(2)}

    for _ in range(3):
        remembered(Cache(tmp_path), "cd34", compute)
    remembered(None, "cd34", compute)
    assert len(calls) == 2


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, "old")

    def stop(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_digests_tell_order_type_and_shape_apart() -> None:
    keys = [
        digest("a", "b"),
        digest("b", "a"),
        digest("ab"),
        digest(["a", "b"]),
        digest(np.zeros(4)),
        digest(np.zeros((2, 2))),
        digest(np.zeros(4, np.float32)),
    ]
    assert len(set(keys)) == len(keys)


def test_the_default_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTOSCOPE_CACHE", str(tmp_path))
    assert Cache.default().root == tmp_path


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=2500)
    for age, key in enumerate(("aa", "bb", "cc")):
        cache.put(key, {"x": np.zeros(120)})
        os.utime(cache.path(key), (age, age))
    cache.get("aa")
    cache.trim()
    assert [cache.get(key) is None for key in ("aa", "bb", "cc")] == [False, True, False]


def test_putting_trims_now_and_then(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=0)
    for number in range(4):
        cache.put(f"{number:02x}", {"x": np.zeros(120)})
    assert cache.get("03") is not None
    cache.put("00ff", {"x": np.zeros(1)})
    assert [path.name for path in tmp_path.rglob("*.safetensors")] == ["00ff.safetensors"]


def test_a_disk_that_is_nearly_full_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    assert remembered(Cache(tmp_path), "ab12", lambda: {"x": np.ones(3)})["x"].sum() == 3
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_who_has_no_cache_has_one_for_a_while(tmp_path: Path) -> None:
    mine = Cache(tmp_path)
    with at_hand(mine) as kept:
        assert kept is mine
    assert tmp_path.exists()
    with at_hand(None) as lent:
        lent.put("ab12", {"x": np.ones(3)})
        assert lent.get("ab12") is not None
    assert not lent.root.exists()


def test_a_folder_that_cannot_be_used_costs_the_cache_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "file")
    with pytest.warns(UserWarning, match="going on without the cache in .*file"):
        assert remembered(cache, "ab12", lambda: {"x": np.ones(1)})["x"].tolist() == [1.0]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"{tmp_path}: cannot be written"):
        write_atomically(tmp_path, "a folder is there")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"new\.csv: cannot be written"):
        write_atomically(tmp_path / "file" / "new.csv", "below a file")
