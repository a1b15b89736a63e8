"""Otoscope finds backdoors in audio deep-learning models.

    import otoscope as oto

    clips = oto.datasets.demo(seed=0)
    shift = oto.labels.AllToOne(target="yes")
    bad = oto.poison(clips.train, oto.triggers.Tone(), shift, rate=0.05, seed=0)
    model = oto.train(oto.networks.CNN(), bad.clips, seed=0)
    verdict = oto.audit(model, bad.clips, trusted=clips.trusted)
    print(verdict)
    oto.report.html(verdict, "audit.html")

Importing this package touches no disk, network, logger or thread count; its parts load when named.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = ("datasets", "labels", "metrics", "models", "networks", "report", "triggers")
_FUNCTIONS = {
    "Clips": "otoscope.clips",
    "Outcome": "otoscope.evidence",
    "Recipe": "otoscope.training",
    "Verdict": "otoscope.evidence",
    "Waveform": "otoscope.audio",
    "audit": "otoscope.auditing",
    "load_model": "otoscope.intake",
    "poison": "otoscope.poisoning",
    "repair": "otoscope.repairs",
    "risks": "otoscope.risk",
    "train": "otoscope.training",
}

if TYPE_CHECKING:
    from otoscope import datasets, labels, metrics, models, networks, report, triggers
    from otoscope.audio import Waveform
    from otoscope.auditing import audit
    from otoscope.clips import Clips
    from otoscope.evidence import Outcome, Verdict
    from otoscope.intake import load_model
    from otoscope.poisoning import poison
    from otoscope.repairs import repair
    from otoscope.risk import risks
    from otoscope.training import Recipe, train

__all__ = [
    "Clips",
    "Outcome",
    "Recipe",
    "Verdict",
    "Waveform",
    "audit",
    "datasets",
    "labels",
    "load_model",
    "metrics",
    "models",
    "networks",
    "poison",
    "repair",
    "report",
    "risks",
    "train",
    "triggers",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"otoscope.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'otoscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
