"""Detectors. One file each, its name beginning with its level; these tables find them by name."""

from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.data_activation_clustering import ActivationClustering
from otoscope.detect.data_beatrix import Beatrix
from otoscope.detect.data_confident_learning import ConfidentLearning
from otoscope.detect.data_gaussian_mixture import GaussianMixturePair
from otoscope.detect.data_neighbours import Neighbours
from otoscope.detect.data_scan import Scan
from otoscope.detect.data_spectral_signatures import SpectralSignatures
from otoscope.detect.data_spectre import Spectre
from otoscope.detect.data_strip import Strip
from otoscope.detect.data_subset_scanning import SubsetScanning
from otoscope.detect.data_vouching import Vouching
from otoscope.detect.model_trigger_inversion import TriggerInversion
from otoscope.registry import Table

DETECTORS: Table[Detector] = Table(
    "detector",
    "otoscope.detectors",
    ActivationClustering,
    SpectralSignatures,
    GaussianMixturePair,
    Scan,
    Spectre,
    Beatrix,
    SubsetScanning,
    Neighbours,
    ConfidentLearning,
    Strip,
    Vouching,
    TriggerInversion,
)

DEFAULT = (
    "activation-clustering",
    "spectral-signatures",
    "gaussian-mixture",
    "strip",
    "trigger-inversion",
)
"""What an audit runs when nothing else is asked for."""

__all__ = [
    "DEFAULT",
    "DETECTORS",
    "ActivationClustering",
    "Beatrix",
    "ConfidentLearning",
    "Detector",
    "GaussianMixturePair",
    "Neighbours",
    "Scan",
    "Scores",
    "SpectralSignatures",
    "Spectre",
    "Strip",
    "SubsetScanning",
    "TriggerInversion",
    "View",
    "Vouching",
]
