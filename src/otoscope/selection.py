"""Which clips an attacker poisons: scores for ``poison(preference=...)``, highest first."""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from otoscope.cache import Cache
from otoscope.clips import Clips
from otoscope.errors import PoisonError
from otoscope.labels import LabelShift
from otoscope.models import AudioModel, activations
from otoscope.networks import Network
from otoscope.poisoning import poison
from otoscope.training import Recipe, train
from otoscope.triggers import Trigger

Scores = Float[np.ndarray, "clips"]


def hardness(model: AudioModel, clips: Clips, cache: Cache | None = None) -> Scores:
    """How hard each clip is: the cross-entropy of its own label under a proxy model.

    After the ranking of CLBD (2409.08985), which poisons the clips of the target class that a
    proxy finds hardest, since a model learns their trigger before their speech. ``clips`` must be
    as the model hears; a proxy that has not seen them tells more.
    """
    logits = torch.from_numpy(activations(model, clips, cache).logits)
    losses = nn.functional.cross_entropy(logits, torch.from_numpy(clips.labels), reduction="none")
    return np.asarray(losses.double().numpy())


def filter_and_update(
    clips: Clips,
    trigger: Trigger,
    shift: LabelShift,
    rate: float,
    seed: int,
    *,
    network: Network,
    validation: Clips | None = None,
    recipe: Recipe | None = None,
    rounds: int = 4,
    kept: float = 0.5,
    device: str | torch.device = "cpu",
    cache: Cache | None = None,
) -> Scores:
    """Scores that put first the clips which matter most to the backdoor.

    Each of ``rounds`` trains a surrogate on a poisoned set, keeps the ``kept`` share of the poison
    that it learned worst, and fills up with a new draw; clips that stay longer score higher.

    After FUS (Xia et al., *Data-Efficient Backdoor Attacks*, IJCAI 2022). Deviations: a poisoned
    clip is worth its loss at the end of a round, where the paper counts how often training forgets
    it; there are fewer rounds.
    """
    if not 0 < kept < 1 or rounds < 1:
        raise PoisonError(f"expected rounds above 0 and kept in (0, 1), got {rounds} and {kept}")
    rng = np.random.default_rng((seed, 2))
    scores = rng.random(len(clips))
    for number in range(rounds):
        bad = poison(clips, trigger, shift, rate, seed, preference=scores)
        model = train(
            network,
            bad.clips,
            seed=seed + number,
            validation=validation,
            recipe=recipe,
            device=device,
            cache=cache,
        )
        losses = np.where(bad.mask, hardness(model, bad.clips), -np.inf)
        order = np.argsort(-losses, kind="stable")
        stay = order[: max(1, round(kept * bad.mask.sum()))]
        scores = rng.random(len(clips))
        scores[stay] += 1 + number
    return scores
