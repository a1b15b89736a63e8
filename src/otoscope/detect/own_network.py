"""A network of our own, trained on the clips: what nobody else's training has touched."""

from dataclasses import replace

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.detect.base import View, require_clips
from otoscope.models import AudioModel, activations
from otoscope.networks import CNN
from otoscope.sampling import stratified
from otoscope.training import train

PROBE_CLIPS = 10_000
"""A probe learns from about so many clips; it hears the others in its one forward pass."""


def probe(clips: Clips, seed: int, cache: Cache | None) -> AudioModel:
    """The small CNN, trained on at most about ``PROBE_CLIPS`` clips, the same share of every class.

    Raises ``TrainingFailed`` where nothing can be learned.
    """
    taught = clips.subset(stratified(clips.labels, PROBE_CLIPS, seed))
    return train(CNN(), taught, seed=seed, cache=cache)


def through_our_own(view: View) -> View:
    """The same clips, looked at through a probe that is trained on them.

    It is none of the networks that the audit's seed trained before. Raises ``NotApplicable``
    without clips.
    """
    clips, known = require_clips(view), view.trusted
    model = probe(clips, view.seed + 1, view.cache)
    return replace(
        view,
        model=model,
        seen=activations(model, clips, view.cache),
        trusted_seen=activations(model, known, view.cache) if known is not None else None,
        delivered=False,
    )
