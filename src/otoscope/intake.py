"""Models that a user hands over: from a file, an object or a name to an ``AudioModel``.

The file never gets to run code: pickles are refused, their contents named (``UnsafeModel``).
"""

import glob
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.checkpoints import load_checkpoint
from otoscope.clips import Clips
from otoscope.errors import ModelError, ModelMismatch, NoSuchModel
from otoscope.models.base import AudioModel, FunctionModel, Hearing, TorchModel
from otoscope.models.card import Card, clips_card, options_card, parse_card, raw_card
from otoscope.models.hearing_check import check_hearing
from otoscope.models.layout import FirstTensor, Layout, find_layout, first_tensor
from otoscope.models.onnx import OnnxModel, read_onnx
from otoscope.models.safety import PICKLE_ENDINGS, is_torchscript, refuse
from otoscope.models.torchscript import TorchScriptModel, read_torchscript
from otoscope.models.user_code import import_named, make_network

__all__ = ["check_hearing", "load_model"]

TORCH_ENDINGS = frozenset({".pt", ".pth", ".ts", ".torchscript", ".bin", ".ckpt"})
_STATE_KEYS = ("state_dict", "model_state_dict", "model")


def load_model(
    path: str | Path | nn.Module | Callable[..., Any],
    *,
    factory: str | None = None,
    sample_rate: int | None = None,
    classes: Sequence[str] | Path | None = None,
    duration_s: float | None = None,
    clips: Clips | None = None,
    trusted: Clips | None = None,
    device: str | torch.device = "cpu",
) -> AudioModel:
    """Make a model that can be audited out of what a user has.

    ``path`` is one of:

    - a checkpoint written by ``save_checkpoint`` (``.safetensors`` and its JSON);
    - a state dict (``.safetensors``, ``.pt``, ``.pth``), with ``factory="module:function"`` that
      makes the network, called without arguments or with the number of classes;
    - TorchScript (``.pt``, ``.ts``, ``.torchscript``) or ONNX (``.onnx``; the extra ``onnx``);
    - ``"module:function"`` or a callable, from float32 arrays of waveforms to arrays of logits;
    - a ``torch.nn.Module``, which is put into evaluation mode and frozen.

    ``module:function`` names the user's own code, which is imported from the working folder or
    ``sys.path`` and runs.

    The model takes (batch, 1, time) or (batch, time) and gives (batch, classes): logits,
    log-probabilities or probabilities; of several outputs the one called ``logits``, else the
    first. ``sample_rate`` in Hz, ``classes`` (names in the order of the logits, or a file with one
    name a line) and ``duration_s`` in seconds come from these options, else from a JSON file beside
    the model, else
    from ``clips`` or ``trusted``: their rate, their duration, their classes sorted. A length that
    an ONNX file fixes goes before that of the clips.

    Raises ``UnsafeModel`` for a pickle; ``ModelMismatch`` when the model does not take such
    waveforms or the number of classes differs; ``ModelError`` for a file that cannot be used or
    when rate, classes or length are not known; ``NoSuchModel`` where there is no such file;
    ``SpecError`` for a name that cannot be imported.
    """
    said = options_card(sample_rate, classes, duration_s)
    listed = clips_card(clips).over(clips_card(trusted))
    if not isinstance(path, (str, Path)):
        return _from_object(path, said.over(listed).hearing("the model"), device)
    file = Path(path)
    if not file.exists() and re.fullmatch(r"[\w.]+:\w+", str(path)):
        named = import_named(str(path))
        return _from_object(named, said.over(listed).hearing(str(path)), device, origin=str(path))
    return _from_file(_require_file(file), factory, said, listed, device)


def _require_file(file: Path) -> Path:
    if not file.exists():
        written = sorted(file.parent.glob(f"{glob.escape(file.name)}.*"))
        ours = (".safetensors", ".onnx", *TORCH_ENDINGS)
        near = next((one for one in written if one.suffix in ours), None)
        there = "" if near is None else f"; {near} is there"
        raise NoSuchModel(f"{file}: no such file; expected a model file or module:function{there}")
    if file.is_dir():
        raise ModelError(f"{file}: is a folder; give the model file in it")
    if file.stat().st_size == 0:
        raise ModelError(f"{file}: is empty (0 bytes)")
    return file


def _from_file(
    file: Path, factory: str | None, said: Card, listed: Card, device: str | torch.device
) -> AudioModel:
    ending, fields = file.suffix.lower(), raw_card(file)
    beside = parse_card(fields, str(file.with_suffix(".json")))
    if ending in PICKLE_ENDINGS:
        refuse(file, "a pickle")
    if ending == ".safetensors" and "network" in fields and factory is None:
        return _checkpoint(file, said, beside, device)
    if ending == ".onnx":
        return _onnx(file, said.over(beside), listed)
    if ending != ".safetensors" and ending not in TORCH_ENDINGS:
        refuse(file, f"a file ending in {ending!r} is not known")
    if is_torchscript(file):
        script = read_torchscript(file, device)
        hearing = said.over(beside).over(listed).hearing(str(file))
        return _from_object(script, hearing, device, sha256=file_sha256(file), origin=str(file))
    state = _read_state(file)
    if factory is None:
        raise ModelError(
            f"{file}: holds weights but no network; give factory='module:function', the function "
            "that makes the network, or export the model to TorchScript or ONNX; a checkpoint of "
            f"otoscope's own needs its {file.stem}.json beside it"
        )
    hearing = said.over(beside).over(listed).hearing(str(file))
    network = make_network(factory, len(hearing.classes))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{file}: does not fit the network that {factory} makes ({error})"
        ) from None
    return _from_object(network, hearing, device, sha256=file_sha256(file), origin=str(file))


def _checkpoint(file: Path, said: Card, beside: Card, device: str | torch.device) -> AudioModel:
    """Our own format, whose JSON is the truth: an option that contradicts it is a mistake."""
    if said.over(beside).hearing(str(file)) != beside.hearing(str(file)):
        raise ModelMismatch(
            f"{file}: the checkpoint fixes its own sample rate, classes and length "
            f"({file.stem}.json), which the options contradict; leave them out"
        )
    return load_checkpoint(file, device)


def _onnx(file: Path, known: Card, listed: Card) -> AudioModel:
    graph = read_onnx(file)
    hearing = known.over(Card(length=graph.length)).over(listed).hearing(str(file))
    if graph.length not in (None, hearing.length):
        raise ModelMismatch(
            f"{file}: the model takes {graph.length} samples, but {hearing.length} are asked for; "
            f"leave the length out, or say {graph.length / hearing.sample_rate:.6g} s"
        )
    layout = find_layout(graph, hearing, str(file))
    sha = file_sha256(file)
    return OnnxModel(graph, hearing, layout=layout, sha256=sha, origin=str(file))


def _read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, also from inside a training checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if file.suffix.lower() == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            refuse(file, f"not readable as safetensors ({error})")
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # torch.load raises nearly anything on a file that is not its own
        refuse(file, "neither TorchScript nor a state dict")
    for key in _STATE_KEYS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise ModelError(
            f"{file}: expected a state dict (names to tensors), or one under "
            f"{', '.join(_STATE_KEYS)}; save the model with torch.save(model.state_dict(), ...)"
        )
    return found


def _from_object(
    found: Any,
    hearing: Hearing,
    device: str | torch.device,
    *,
    sha256: str = "",
    origin: str = "",
) -> AudioModel:
    """Wrap a module or a function, in the layout that it wants."""
    where = origin or "the model"
    if isinstance(found, torch.jit.ScriptModule):
        model = TorchScriptModel(found, hearing, device=device, sha256=sha256, origin=origin)
        model.layout = find_layout(lambda x: model.module(x.to(model.device)), hearing, where)
        return model
    if isinstance(found, nn.Module):
        return _module(found, hearing, device, sha256, origin)
    if not callable(found):
        raise ModelError(f"{where}: expected a model or a function, got {type(found).__name__}")
    layout = find_layout(lambda x: found(x.numpy()), hearing, where)
    return FunctionModel(_as_function(found, layout), hearing, sha256=sha256, origin=origin)


def _module(
    module: nn.Module, hearing: Hearing, device: str | torch.device, sha256: str, origin: str
) -> TorchModel:
    module.to(device).eval()
    plain = True

    def run(waveforms: Tensor) -> Any:
        nonlocal plain
        output = module(waveforms.to(device))
        plain = isinstance(output, Tensor)
        return output

    layout = find_layout(run, hearing, origin or "the model", one_by_one=False)
    model = TorchModel(
        module if plain else FirstTensor(module),
        hearing,
        flat=layout.flat,
        device=device,
        origin=origin,
    )
    model.sha256 = sha256 or model.sha256
    return model


def _as_function(
    function: Callable[..., Any], layout: Layout
) -> Callable[[np.ndarray], np.ndarray]:
    def run(waveforms: np.ndarray, /) -> np.ndarray:
        pieces = layout.pieces(torch.from_numpy(waveforms))
        return torch.cat([first_tensor(function(piece.numpy())) for piece in pieces]).numpy()

    return run


def file_sha256(file: Path) -> str:
    """SHA-256 of the file's bytes, in hex; of an ONNX file's weights beside it, too."""
    outside = file.with_name(file.name + ".data")  # where torch.onnx.export puts large weights
    with file.open("rb") as content:
        sha = hashlib.file_digest(content, "sha256")
    if outside.exists():
        sha.update(outside.read_bytes())
    return sha.hexdigest()
