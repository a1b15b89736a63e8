"""Files that are not loaded because loading or running them would execute what came with them.

A pickle is a program. It is never unpickled here: picklescan reads its opcodes without running
them, so that the refusal can name what it would have called. TorchScript is a program too, in a
language whose only ways to the disk are two operators; archives that name them are refused.
"""

import io
import tokenize
import zipfile
from pathlib import Path
from typing import NoReturn

from otoscope.errors import ModelError, UnsafeModel
from otoscope.models.silence import quiet_logger

PICKLE_ENDINGS = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz"})
_DISK_OPERATORS = frozenset({"save", "from_file"})
_ADVICE = (
    "where its author is trusted, export it to TorchScript (torch.jit.save), to ONNX "
    "(torch.onnx.export) or its state dict to safetensors (safetensors.torch.save_file)"
)


def refuse(path: Path, reason: str) -> NoReturn:
    """Raise ``UnsafeModel`` naming what a pickle would call, or ``ModelError`` if it is none."""
    dangerous, others = pickle_globals(path)
    if dangerous:
        raise UnsafeModel(
            f"{path}: a pickle that would call {_listed(dangerous)} when loaded; nothing was "
            "executed. Do not load it anywhere; ask its author for safetensors, TorchScript or ONNX"
        ) from None
    if others or path.suffix.lower() in PICKLE_ENDINGS:
        found = f"; it names {_listed(others)}" if others else ""
        raise UnsafeModel(
            f"{path}: a pickle, which can execute code when loaded{found}; nothing was executed. "
            f"Instead, {_ADVICE}"
        ) from None
    raise ModelError(
        f"{path}: {reason}; models are read from .safetensors, .onnx, TorchScript, and .pt or .pth "
        "files with a state dict"
    ) from None


def pickle_globals(path: Path) -> tuple[list[str], list[str]]:
    """What the pickles in a file import: (known to be dangerous, beyond plain tensors)."""
    from picklescan.scanner import SafetyLevel, scan_bytes

    try:
        with path.open("rb") as file, quiet_logger("picklescan"):
            found = scan_bytes(file, path.name, ".pt").globals
    except Exception:  # the scanner raises nearly anything on files that are no pickles
        return [], []

    def named(level: SafetyLevel) -> list[str]:
        return sorted({f"{g.module}.{g.name}" for g in found if g.safety is level})

    return named(SafetyLevel.Dangerous), named(SafetyLevel.Suspicious)


def is_torchscript(path: Path) -> bool:
    """Whether the file is a zip archive with TorchScript code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any("/code/" in n for n in names) and any(n.endswith("/constants.pkl") for n in names)


def require_harmless_torchscript(path: Path) -> None:
    """Raise ``UnsafeModel`` when the archive's code names an operator that reads or writes files.

    ``torch.save`` inside TorchScript would write any file when the model runs, or already when it
    is loaded (``__setstate__``).
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():  # by entry, so that a second one of the same name counts
            if not entry.filename.lower().endswith(".py"):
                continue
            try:
                source = io.StringIO(archive.read(entry).decode())
                names = {t.string for t in tokenize.generate_tokens(source.readline)}
            except (UnicodeDecodeError, tokenize.TokenError, SyntaxError, zipfile.BadZipFile):
                raise UnsafeModel(
                    f"{path}: its code, {entry.filename}, cannot be read, so it was not run"
                ) from None
            if used := sorted(names & _DISK_OPERATORS):
                raise UnsafeModel(
                    f"{path}: its code, {entry.filename}, uses {_listed(used)}, which can read or "
                    f"write files; nothing was executed. Instead, {_ADVICE}"
                )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
