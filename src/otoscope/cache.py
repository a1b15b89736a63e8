"""A content-addressed cache on disk: the key is a digest of everything the value depends on.

A value is a set of arrays in one safetensors file, written beside its place and then renamed, so an
interrupted write leaves nothing behind and a second run takes up where the first one stopped.
"""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from otoscope.errors import OutputError

Arrays = dict[str, np.ndarray]

LIMIT = 20 * 10**9
"""Bytes that a cache may hold; what was used longest ago goes first."""

KEPT_FREE = 2 * 10**9
"""Bytes of the disk that a cache leaves to others."""


def digest(*parts: Any) -> str:
    """SHA-256, in hex, of JSON values, bytes and arrays in this order."""
    return digest_of(parts)


def digest_of(parts: Iterable[Any]) -> str:
    """As ``digest``, of parts that need not be in memory together."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = f"{part.dtype}{part.shape}".encode() + np.ascontiguousarray(part).tobytes()
        elif not isinstance(part, bytes):
            part = json.dumps(part, sort_keys=True, default=str).encode()
        sha.update(len(part).to_bytes(8, "little") + part)
    return sha.hexdigest()


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; folders above it are made. Raises ``OutputError``."""
    try:
        _write(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes files that nobody else may read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Cache:
    """Arrays kept under ``root`` by key. ``Cache.default()`` is the user's own cache folder.

    About every 256th value that is put trims the folder to ``limit`` bytes; nothing is put on a
    disk with less than ``KEPT_FREE`` left.
    """

    root: Path
    limit: int = LIMIT

    @staticmethod
    def default() -> "Cache":
        """The folder named by ``OTOSCOPE_CACHE``, else the platform's cache folder."""
        named = os.environ.get("OTOSCOPE_CACHE")
        return Cache(Path(named) if named else user_cache_path("otoscope"))

    def path(self, key: str) -> Path:
        """Where the value of ``key`` lies, or would lie."""
        return self.root / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> Arrays | None:
        """The arrays stored under ``key``; None when there are none or the file is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.path(key)
        if not path.exists():
            return None
        try:
            found = dict(load_file(path))
        except (SafetensorError, OSError):
            with suppress(OSError):  # somebody else's
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)  # used just now, as trim sees it
        return found

    def put(self, key: str, arrays: Arrays) -> None:
        """Store arrays under ``key``, whole or not at all.

        Not where the disk is nearly full, nor, with a warning, where the folder cannot be used.
        """
        try:
            self._put(key, arrays)
        except (OSError, OutputError) as error:
            warnings.warn(
                f"going on without the cache in {self.root} ({error}); OTOSCOPE_CACHE names another"
                " folder",
                stacklevel=2,
            )

    def _put(self, key: str, arrays: Arrays) -> None:
        from safetensors.numpy import save

        self.root.mkdir(parents=True, exist_ok=True)
        size = sum(array.nbytes for array in arrays.values())
        if shutil.disk_usage(self.root).free < size + KEPT_FREE:
            return
        if key.startswith("00"):
            self.trim()
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_atomically(self.path(key), save(contiguous))

    def trim(self) -> None:
        """Delete what was used longest ago until at most ``limit`` bytes are left."""
        known = []
        for path in self.root.glob("??/*.safetensors"):
            with suppress(FileNotFoundError):  # another process trims too
                known.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        held = sum(size for _, size, _ in known)
        for _, size, path in sorted(known):
            if held <= self.limit:
                break
            path.unlink(missing_ok=True)
            held -= size

    def drop(self, key: str) -> None:
        """Forget what is stored under ``key``, if anything is."""
        self.path(key).unlink(missing_ok=True)


@contextmanager
def at_hand(cache: Cache | None) -> Iterator[Cache]:
    """The same cache or, where there is none, one that lasts as long as the block."""
    if cache is not None:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="otoscope-") as folder:
        yield Cache(Path(folder), limit=LIMIT // 10)


def remembered(cache: Cache | None, key: str, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays under ``key``, computed and stored when they are not there yet.

    What was too large for memory (``spill``) is not stored.
    """
    found = cache.get(key) if cache else None
    if found is None:
        found = compute()
        if cache and not any(isinstance(array, np.memmap) for array in found.values()):
            cache.put(key, found)
    return found
