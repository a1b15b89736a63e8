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

_MODULES = (
    "datasets",
    "labels",
    "metrics",
    "models",
    "networks",
    "redteam",
    "report",
    "speakers",
    "training_attacks",
    "triggers",
)
_FUNCTIONS = {
    "Attack": "otoscope.poisoning",
    "Clips": "otoscope.clips",
    "Outcome": "otoscope.evidence",
    "Recipe": "otoscope.training",
    "Verdict": "otoscope.evidence",
    "Waveform": "otoscope.audio",
    "audit": "otoscope.auditing",
    "clean": "otoscope.cleaning",
    "craft": "otoscope.crafting",
    "filter_and_update": "otoscope.selection",
    "guard": "otoscope.guarding",
    "hardness": "otoscope.selection",
    "load_model": "otoscope.intake",
    "poison": "otoscope.poisoning",
    "poison_all": "otoscope.poisoning",
    "repair": "otoscope.repairs",
    "told_auroc": "otoscope.detectability",
    "risks": "otoscope.risk",
    "train": "otoscope.training",
}

if TYPE_CHECKING:
    from otoscope import (
        datasets,
        labels,
        metrics,
        models,
        networks,
        redteam,
        report,
        speakers,
        training_attacks,
        triggers,
    )
    from otoscope.audio import Waveform
    from otoscope.auditing import audit
    from otoscope.cleaning import clean
    from otoscope.clips import Clips
    from otoscope.crafting import craft
    from otoscope.detectability import told_auroc
    from otoscope.evidence import Outcome, Verdict
    from otoscope.guarding import guard
    from otoscope.intake import load_model
    from otoscope.poisoning import Attack, poison, poison_all
    from otoscope.repairs import repair
    from otoscope.risk import risks
    from otoscope.selection import filter_and_update, hardness
    from otoscope.training import Recipe, train

__all__ = [
    "Attack",
    "Clips",
    "Outcome",
    "Recipe",
    "Verdict",
    "Waveform",
    "audit",
    "clean",
    "craft",
    "datasets",
    "filter_and_update",
    "guard",
    "hardness",
    "labels",
    "load_model",
    "metrics",
    "models",
    "networks",
    "poison",
    "poison_all",
    "redteam",
    "repair",
    "report",
    "risks",
    "speakers",
    "told_auroc",
    "train",
    "training_attacks",
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
