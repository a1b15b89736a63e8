"""Reference models: clean ones, trained on trusted clips, to compare a delivered model with."""

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.models import AudioModel, TorchModel
from otoscope.networks import CNN, network_of
from otoscope.progress import track
from otoscope.training import Recipe, train

FIRST_SEED = 5000
STEPS = 300
"""Optimisation steps of a reference: ten clips a class teach no more."""

BATCH = 32


def train_references(
    model: AudioModel, trusted: Clips, count: int, *, cache: Cache | None = None
) -> tuple[TorchModel, ...]:
    """``count`` models of the network of ``model``, trained on ``trusted`` alone.

    They differ in their seeds only. Where the network of ``model`` is not one of ours, they are
    small CNNs. They serve every model that hears alike, and the cache keeps them. ``trusted`` must
    be as the model hears. Raises ``TrainingError`` when the clips are too few to train on.
    """
    training = len(trusted) - max(1, round(Recipe().validation_share * len(trusted)))
    epochs = max(10, round(STEPS / max(1, training // BATCH)))
    recipe = Recipe(epochs=epochs, patience=epochs, batch_size=BATCH)
    network = network_of(model) or CNN()
    return tuple(
        train(network, trusted, seed=FIRST_SEED + i, recipe=recipe, cache=cache)
        for i in track(range(count), "training references", count)
    )
