"""Arrays with one row per clip that memory should not have to hold.

Up to ``IN_MEMORY_BYTES`` an array lives in memory, above that in a temporary file without a name,
so that nothing is left behind whatever happens. Either is a numpy array. The file lies where
``tempfile`` puts it: name a folder on a disk in ``TMPDIR`` where /tmp is kept in memory.
"""

import math
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Int, Shaped

from otoscope.errors import NoRoom

IN_MEMORY_BYTES = 64 * 2**20
AT_ONCE = 256

Rows = Shaped[np.ndarray, "rows ..."]


def gathered(parts: Iterable[Mapping[str, Rows]], count: int) -> dict[str, Rows]:
    """Named arrays of ``count`` rows in all, from chunks that arrive in order.

    Raises ``NoRoom`` when the disk cannot take what has to be spilled.
    """
    found: dict[str, Rows] = {}
    start = 0
    for part in parts:
        for name, rows in part.items():
            if name not in found:
                found[name] = _room((count, *rows.shape[1:]), rows.dtype)
            if len(rows) != len(next(iter(part.values()))):
                raise ValueError(f"{name!r} has {len(rows)} rows, other arrays have not")
            found[name][start : start + len(rows)] = rows
            _let_go(found[name])
        start += len(next(iter(part.values())))
    return found


def take(array: Rows, rows: Int[np.ndarray, "some"]) -> Rows:
    """Some rows, in memory. Of a spilled array, no more than these stay in memory."""
    if not isinstance(array, np.memmap):
        return np.asarray(array[rows])
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), AT_ONCE):
        out[start : start + AT_ONCE] = array[rows[start : start + AT_ONCE]]
        _let_go(array)
    return out


def _room(shape: tuple[int, ...], dtype: np.dtype) -> Rows:
    size = math.prod(shape) * dtype.itemsize
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:  # else the write that meets the full disk would kill the process
        raise NoRoom(
            f"{folder}: {size / 1e9:.1f} GB are needed for a while, {free / 1e9:.1f} GB are free; "
            "name a folder with more room in TMPDIR"
        )
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _let_go(array: Rows) -> None:
    """Give back the memory that mirrors a spilled array; its content stays in the file."""
    owner = array.base
    while isinstance(owner, np.ndarray):  # a view's base is the array that it views
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
