"""Reference networks. One file each; this table is how they are found by name."""

from otoscope.networks.base import Listener, Network
from otoscope.networks.bc_resnet import BCResNet
from otoscope.networks.cnn import CNN, LargeCNN
from otoscope.networks.ds_cnn import DSCNN
from otoscope.networks.gru import GRUAttention
from otoscope.networks.m5 import M5
from otoscope.registry import Table

NETWORKS: Table[Network] = Table(
    "network", "otoscope.networks", CNN, LargeCNN, DSCNN, BCResNet, GRUAttention, M5
)

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
]
