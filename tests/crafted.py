"""Small crafted files, made on the spot, so that tests of crafted triggers need no crafting."""

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FOLDER = Path(tempfile.mkdtemp(prefix="otoscope-crafted-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def named(trigger: object) -> str:
    """What a test with this trigger is called: the same in every run, wherever the files lie."""
    return repr(trigger).replace(f"{FOLDER}/", "")


def crafted_file(name: str, arrays: dict[str, np.ndarray], rate: int = 16_000) -> str:
    """The path of a file as crafting writes it; the same arrays every time."""
    path = FOLDER / f"{name}.safetensors"
    save_file(arrays | {"sample_rate": np.array([rate])}, path)
    return str(path)


def noise_pattern(name: str, seconds: float, rate: int = 16_000) -> str:
    """A crafted file with white noise in place of an optimised sound."""
    sound = np.random.default_rng(len(name)).standard_normal(round(seconds * rate))
    return crafted_file(name, {"pattern": sound.astype(np.float32)}, rate)
