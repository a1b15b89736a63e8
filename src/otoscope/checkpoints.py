"""The checkpoint format of models trained here: weights as safetensors, a card beside them."""

import json
from pathlib import Path

import torch
from torch import nn

from otoscope.cache import write_atomically
from otoscope.errors import ModelError, SpecError
from otoscope.models import AudioModel, Hearing, TorchModel
from otoscope.models.card import card_of, raw_card
from otoscope.models.layout import FirstTensor
from otoscope.models.torchscript import TorchScriptModel, archive_of
from otoscope.networks import NETWORKS, Listener, network_of
from otoscope.registry import Spec, build

CHECKPOINT_SCHEMA = 1


def save_checkpoint(model: TorchModel, path: Path, *, notes: Spec | None = None) -> Path:
    """Write a model trained here as ``NAME.safetensors`` with ``NAME.json`` beside it.

    The JSON holds the network's spec, the class names, the sample rate, the length, the digest of
    the weights and ``notes``. Raises ``ModelError`` for a module that is not one of ours.
    """
    from safetensors.torch import save

    if not isinstance(model.module, Listener):
        raise ModelError("only networks from otoscope.networks have this checkpoint format")
    path, card_path = files_of(path)
    state = {name: t.contiguous() for name, t in model.module.state_dict().items()}
    card = {
        "schema": CHECKPOINT_SCHEMA,
        "network": json.loads(model.origin),
        **card_of(model.hearing),
        "sha256": model.sha256,
        "notes": notes or {},
    }
    write_atomically(path, save(state))
    write_atomically(card_path, json.dumps(card, indent=2) + "\n")
    return path


def save_model(model: AudioModel, path: Path, *, notes: Spec | None = None) -> Path:
    """Write a model in the form that it was read from, and beside it a JSON, with ``notes``.

    One of ours as ``save_checkpoint`` does, TorchScript as ``NAME.ts``, any other module's state
    dict as ``NAME.safetensors``, for the function that makes its network. Beside TorchScript, what
    else stands in the JSON stays: a checkpoint of the same name needs it. Raises ``ModelError`` for
    a model that holds no module.
    """
    from safetensors.torch import save

    module = _inner(model)
    if isinstance(model, TorchModel) and network_of(model) and isinstance(module, Listener):
        return save_checkpoint(model, path, notes=notes)
    if module is None:
        raise ModelError(f"{path}: a {type(model).__name__} holds no module that could be written")
    path, card_path = files_of(path, model)
    card = card_of(model.hearing) | {"notes": notes or {}}
    if isinstance(module, torch.jit.ScriptModule):
        card = raw_card(path) | card
        write_atomically(path, archive_of(module))
    else:
        state = {name: t.cpu().contiguous().clone() for name, t in module.state_dict().items()}
        write_atomically(path, save(state))
    write_atomically(card_path, json.dumps(card, indent=2) + "\n")
    return path


def files_of(path: Path, model: AudioModel | None = None) -> tuple[Path, Path]:
    """The file and the JSON beside it, of a model (a checkpoint) that is to be called so.

    A dot in its name is part of it: ``net-0.5`` becomes ``net-0.5.safetensors``.
    """
    script = isinstance(_inner(model), torch.jit.ScriptModule)
    endings = (".ts", ".pt", ".torchscript") if script else (".safetensors",)
    if path.suffix not in endings:
        path = path.with_name(f"{path.name}{endings[0]}")
    return path, path.with_suffix(".json")


def _inner(model: AudioModel | None) -> nn.Module | None:
    """The module that somebody wrote, without what we put around it."""
    module = model.module if isinstance(model, (TorchModel, TorchScriptModel)) else None
    return module.module if isinstance(module, FirstTensor) else module


def load_checkpoint(path: Path, device: str | torch.device = "cpu") -> TorchModel:
    """Read what ``save_checkpoint`` wrote. Raises ``ModelError`` when the two files disagree."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        card = json.loads(path.with_suffix(".json").read_text())
        network = build(NETWORKS, card["network"])
        hearing = Hearing(tuple(card["classes"]), int(card["sample_rate"]), int(card["length"]))
        listener = network.build(hearing)
        listener.load_state_dict(load_file(path))
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        SpecError,
        SafetensorError,
    ) as error:
        raise ModelError(f"{path}: not a whole Otoscope checkpoint ({error})") from None
    model = TorchModel(listener, hearing, device=device, origin=json.dumps(card["network"]))
    if model.sha256 != card.get("sha256"):
        raise ModelError(f"{path}: the weights are not those that {path.stem}.json describes")
    return model
