"""Detectors. One file each, its name beginning with its level; these tables find them by name."""

from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.data_activation_clustering import ActivationClustering
from otoscope.detect.data_beatrix import Beatrix
from otoscope.detect.data_cognitive_distillation import CognitiveDistillation
from otoscope.detect.data_confident_learning import ConfidentLearning
from otoscope.detect.data_confusion_training import ConfusionTraining
from otoscope.detect.data_frequency_artefacts import FrequencyArtefacts
from otoscope.detect.data_gaussian_mixture import GaussianMixturePair
from otoscope.detect.data_ibd_psc import IbdPsc
from otoscope.detect.data_independent_witness import IndependentWitness
from otoscope.detect.data_loss_dynamics import LossDynamics
from otoscope.detect.data_neighbours import Neighbours
from otoscope.detect.data_scale_up import ScaleUp
from otoscope.detect.data_scan import Scan
from otoscope.detect.data_spectral_signatures import SpectralSignatures
from otoscope.detect.data_spectre import Spectre
from otoscope.detect.data_strip import Strip
from otoscope.detect.data_subset_scanning import SubsetScanning
from otoscope.detect.data_vouching import Vouching
from otoscope.detect.data_witness import Witness
from otoscope.detect.model_margin import MaximumMargin
from otoscope.detect.model_meta_classifier import MetaClassifier
from otoscope.detect.model_probes import Probing
from otoscope.detect.model_sound_inversion import SoundInversion
from otoscope.detect.model_trigger_inversion import TriggerInversion
from otoscope.detect.model_universal_perturbation import UniversalPerturbation
from otoscope.detect.model_weights import WeightStatistics
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
    LossDynamics,
    ConfusionTraining,
    FrequencyArtefacts,
    Strip,
    CognitiveDistillation,
    Vouching,
    Witness,
    IndependentWitness,
    ScaleUp,
    IbdPsc,
    TriggerInversion,
    Probing,
    MaximumMargin,
    WeightStatistics,
    MetaClassifier,
    SoundInversion,
    UniversalPerturbation,
)

DEFAULT = (
    "activation-clustering",
    "spectral-signatures",
    "gaussian-mixture",
    "witness",
    "trigger-inversion",
)
"""What an audit runs when nothing else is asked for."""

WITHOUT_FEATURES = ("strip",)
"""What it runs besides on a model that answers and shows nothing of its inside."""

OF_A_DELIVERED_MODEL = ("independent-witness",)
"""What it runs besides where the clips come with somebody else's model."""

WITH_REFERENCES = ("meta-classifier", "probing")
"""What it runs besides when there are reference models, without which these know the clean models
of our own data only."""

__all__ = [
    "DEFAULT",
    "DETECTORS",
    "OF_A_DELIVERED_MODEL",
    "WITHOUT_FEATURES",
    "WITH_REFERENCES",
    "ActivationClustering",
    "Beatrix",
    "CognitiveDistillation",
    "ConfidentLearning",
    "ConfusionTraining",
    "Detector",
    "FrequencyArtefacts",
    "GaussianMixturePair",
    "IbdPsc",
    "IndependentWitness",
    "LossDynamics",
    "MaximumMargin",
    "MetaClassifier",
    "Neighbours",
    "Probing",
    "ScaleUp",
    "Scan",
    "Scores",
    "SoundInversion",
    "SpectralSignatures",
    "Spectre",
    "Strip",
    "SubsetScanning",
    "TriggerInversion",
    "UniversalPerturbation",
    "View",
    "Vouching",
    "WeightStatistics",
    "Witness",
]
