"""Reference networks. One file each; this table is how they are found by name."""

import json

from otoscope.models import AudioModel
from otoscope.networks.base import Listener, Network
from otoscope.networks.bc_resnet import BCResNet
from otoscope.networks.cnn import CNN, LargeCNN
from otoscope.networks.ds_cnn import DSCNN
from otoscope.networks.gru import GRUAttention
from otoscope.networks.m5 import M5
from otoscope.registry import Table, build

NETWORKS: Table[Network] = Table(
    "network", "otoscope.networks", CNN, LargeCNN, DSCNN, BCResNet, GRUAttention, M5
)


def network_of(model: AudioModel) -> Network | None:
    """The network of ours that a model says it is."""
    try:
        said = json.loads(model.origin)
    except ValueError:
        return None
    ours = isinstance(said, dict) and said.get("name") in NETWORKS
    return build(NETWORKS, said) if ours else None


__all__ = [
    "CNN",
    "DSCNN",
    "M5",
    "NETWORKS",
    "BCResNet",
    "GRUAttention",
    "LargeCNN",
    "Listener",
    "Network",
    "network_of",
]
