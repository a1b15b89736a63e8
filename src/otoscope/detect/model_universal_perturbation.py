"""Universal perturbations: how far do faint sounds, found on a few clips, send others?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from otoscope.cache import digest, remembered
from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.held_out import TrustedClips, recovered
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.models import HasGradients, memory_of
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require, spec

LEVELS_DB = (-36.0, -30.0)
"""How loud the sounds are, relative to the clips that they are added to."""

LEAST_LOG_PROBABILITY = -8.0


@dataclass(frozen=True)
class UniversalPerturbation(Detector):
    """For each class, faint sounds that send clips of others there: how far do they get?

    A sound is as long as a clip and of one level (two of them, ``LEVELS_DB``, relative to every
    clip's own); all are descended together in ``steps`` steps of Adam, each on ``batch`` trusted
    clips of other classes, on the cross-entropy towards the class. The response is the mean
    log-probability of the class, floored at -8, over trusted clips kept out of this (a third). A
    backdoor is a direction that all clips share, so its class answers to a sound that is too faint
    for the others.

    Universal perturbations are Moosavi-Dezfooli et al.'s (1610.08401); that perturbations carry
    over from clip to clip in a backdoored model was observed by Huster and Ekwedike (TOP,
    2103.10274). Deviations: targeted, one per class and level; Adam on a sound of fixed RMS in the
    place of projected steps.

    A class scores its mean response over the levels. Reference models are compared level by level,
    which says far more: clean models, too, have classes that are easy to reach.
    Raises ``NotApplicable`` without gradients or trusted clips.
    """

    name: ClassVar[str] = "universal-perturbation"
    level: ClassVar[Literal["data", "model"]] = "model"
    steps: int = 50
    batch: int = 4
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            value = getattr(self, name)
            require(value >= 1, f"universal-perturbation.{name} must be 1 or more, got {value}")

    def score(self, view: View) -> Scores:
        if not isinstance(view.model, HasGradients):
            raise NotApplicable("no gradient reaches the input of this model")
        if view.trusted is None or len(set(view.trusted.labels.tolist())) < 2:
            raise NotApplicable("it starts from trusted clips of at least two classes")
        known = TrustedClips(view.trusted, view.model.device, np.random.default_rng(view.seed))
        search = _Search(self, view.model, known, view.seed)
        found = remembered(
            memory_of(view.model, view.cache),
            digest(spec(self), view.model.sha256, view.trusted.sha256, view.seed),
            search.run,
        )
        responses, loudest = found["responses"], found["loudest"]
        searched = self.steps * self.batch * responses.size
        proved = (1 + responses.size) * len(known.held_out)
        return Scores(
            responses.mean(axis=0),
            forward_passes=(searched + proved) / len(view.trusted),
            recover=lambda k: search.recover(k, torch.from_numpy(loudest[k])),
            profile=responses,
        )


class _Search:
    """The search for a sound for each level and class, added to trusted clips."""

    def __init__(
        self, config: UniversalPerturbation, model: HasGradients, known: TrustedClips, seed: int
    ) -> None:
        self.config, self.model, self.known, self.seed = config, model, known, seed

    def run(self) -> dict[str, np.ndarray]:
        """``responses`` (levels, classes), and the ``loudest`` sound of every class."""
        rng = np.random.default_rng(self.seed)
        shape = (len(LEVELS_DB), len(self.known.trusted.classes), self.known.trusted.length)
        drawn = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        inside = (0.3 * drawn).to(self.model.device).requires_grad_(True)
        optimizer = torch.optim.Adam([inside], self.config.learning_rate, betas=(0.5, 0.9))
        with fast_math():
            for _ in track(range(self.config.steps), self.config.name, self.config.steps):
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(self._loss(_scaled(inside), rng))
                optimizer.step()
            sounds = _scaled(inside.detach())
            return {"responses": self._responses(sounds), "loudest": sounds[-1].cpu().numpy()}

    def _loss(
        self, sounds: Float32[Tensor, "levels classes time"], rng: np.random.Generator
    ) -> Tensor:
        """How far each sound leaves clips, drawn for it, from its class."""
        batch, (levels, classes, _) = self.config.batch, sounds.shape
        goal = torch.arange(classes).repeat(levels).repeat_interleave(batch)
        rows = [self.known.draw(k, batch, rng) for k in goal[::batch].tolist()]
        sounds = sounds.flatten(0, 1).repeat_interleave(batch, dim=0)
        heard = self._with(np.concatenate(rows), sounds)
        logits = self.model.differentiable_logits(heard[:, None])
        return nn.functional.cross_entropy(logits, goal.to(logits.device), reduction="sum")

    @torch.no_grad()
    def _responses(
        self, sounds: Float32[Tensor, "levels classes time"]
    ) -> Float[np.ndarray, "levels classes"]:
        """The mean log-probability of each sound's class, of clips not called so before."""
        before = self.model.differentiable_logits(self.known.sounds[:, None]).argmax(1).cpu()
        responses = np.full(sounds.shape[:2], LEAST_LOG_PROBABILITY)
        for k in range(responses.shape[1]):
            rows = self.known.proving(k)
            free = rows[before.numpy()[rows] != k]
            for number, sound in enumerate(sounds[:, k] if len(free) else ()):
                logits = self.model.differentiable_logits(self._with(free, sound)[:, None])
                own = logits.log_softmax(dim=1)[:, k].clamp(min=LEAST_LOG_PROBABILITY)
                responses[number, k] = float(own.mean())
        return responses

    @torch.no_grad()
    def recover(self, k: int, sound: Float32[Tensor, "time"]) -> Recovered:
        """The sound of a class, and what it does to the clips that prove it."""
        rows = self.known.proving(k)
        before, after = self.known.sounds[rows], self._with(rows, sound.to(self.model.device))
        predicted = self.model.differentiable_logits(after[:, None]).argmax(1)
        success = float((predicted == k).float().mean())
        name, rate = self.known.trusted.classes[k], self.known.trusted.sample_rate
        return recovered(before[0], after[0], name, success, rate, "a faint added sound")

    def _with(self, rows: np.ndarray, sounds: Tensor) -> Float32[Tensor, "rows time"]:
        """These clips with a sound at a level relative to each one's own."""
        clips = self.known.sounds[rows]
        rms = clips.square().mean(dim=1, keepdim=True).sqrt()
        mixed: Tensor = (clips + rms * sounds).clamp(-1, 1)
        return mixed


def _scaled(
    inside: Float32[Tensor, "levels classes time"],
) -> Float32[Tensor, "levels classes time"]:
    """The sounds at their levels, for a clip of RMS 1."""
    rms = torch.pow(10.0, torch.tensor(LEVELS_DB) / 20).to(inside)[:, None, None]
    scaled: Tensor = inside * rms / (inside.square().mean(dim=2, keepdim=True) + 1e-12).sqrt()
    return scaled
