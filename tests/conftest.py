"""Shared by all tests: small recordings made on the spot, and the real ones."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from otoscope.cache import Cache

RATE_HZ = 16_000

WriteSine = Callable[..., Path]
MakeTree = Callable[..., Path]

# a busy machine is no failure
settings.register_profile("otoscope", deadline=None)
settings.load_profile("otoscope")


LONGEST = ("test_real.py", "test_results.py", "test_cleaning.py", "test_witness.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no process waits for them at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def sine(frequency_hz: float, seconds: float, rate: int = RATE_HZ, peak: float = 0.5) -> np.ndarray:
    """A sine as float32 shaped (time,)."""
    time = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Shared by a module's tests, so that what several of them need is trained once."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def write_sine(tmp_path: Path) -> WriteSine:
    """Write a sine below ``tmp_path``: ``write_sine("yes/a.wav", frequency_hz=440, ...)``."""

    def write(
        name: str,
        frequency_hz: float = 440,
        *,
        seconds: float = 0.2,
        rate: int = RATE_HZ,
        channels: int = 1,
        subtype: str | None = None,
        peak: float = 0.5,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.stack([sine(frequency_hz, seconds, rate, peak)] * channels, axis=1)
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def make_tree(tmp_path: Path, write_sine: WriteSine) -> MakeTree:
    """Write a folder with a sub-folder per class: ``make_tree(("no", "yes"), count=3)``."""

    def make(classes: tuple[str, ...] = ("no", "yes"), count: int = 3) -> Path:
        for k, label in enumerate(classes):
            for number in range(count):
                write_sine(f"tree/{label}/{number}.wav", 300 + 200 * k + 10 * number)
        return tmp_path / "tree"

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; skips without it, but fails in CI, where it must be."""
    repository = Path(__file__).resolve().parents[1]
    named = os.environ.get("OTOSCOPE_REAL_DATA")
    folder = Path(named) if named else repository.parent / "shared" / "data"
    if not folder.is_dir():
        reason = f"no real recordings in {folder}; name their folder in OTOSCOPE_REAL_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
