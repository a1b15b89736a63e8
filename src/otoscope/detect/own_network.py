"""A network of our own, trained on the clips: what nobody else's training has touched."""

from dataclasses import replace

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.detect.base import View, require_clips
from otoscope.errors import NotApplicable, TrainingError
from otoscope.models import AudioModel, activations
from otoscope.networks import CNN
from otoscope.sampling import stratified
from otoscope.training import train

OWN_SEED = 6000
"""Added to the audit's seed, so that no other network of an audit, and hardly a delivered one, is
this one."""

PROBE_CLIPS = 10_000
"""A probe learns from about so many clips; it hears the others in its one forward pass."""


def probe(clips: Clips, seed: int, cache: Cache | None) -> AudioModel:
    """The small CNN, trained on at most about ``PROBE_CLIPS`` clips, the same share of every class.

    Raises ``TrainingError`` where the training diverges.
    """
    taught = clips.subset(stratified(clips.labels, PROBE_CLIPS, seed))
    return train(CNN(), taught, seed=seed, cache=cache)


def through_our_own(view: View) -> View:
    """The same clips, looked at through a probe that is trained on them.

    Raises ``NotApplicable`` without clips, too few of them, or where the training diverges.
    """
    clips, known = require_clips(view), view.trusted
    try:
        model = probe(clips, OWN_SEED + view.seed, view.cache)
    except TrainingError as error:
        raise NotApplicable(
            f"no network of our own could be trained on the clips: {error}"
        ) from error
    return replace(
        view,
        model=model,
        seen=activations(model, clips, view.cache),
        trusted_seen=activations(model, known, view.cache) if known is not None else None,
        delivered=False,
    )
