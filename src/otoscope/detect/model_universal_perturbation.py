"""Universal perturbations: how far do faint sounds, found on a few clips, send others?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from otoscope.cache import digest, remembered
from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.held_out import SearchClips, Start
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.models import HasGradients, memory_of
from otoscope.models.base import BATCH
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require, spec

MOST_LOG_ODDS = 8.0


@dataclass(frozen=True)
class UniversalPerturbation(Detector):
    """For each class a faint sound that sends clips of others there: how far does it get?

    The sounds are as long as a clip, ``level_db`` above whatever they are added to, and descended
    together in ``steps`` steps of Adam, each on ``batch`` trusted clips of other classes, on the
    cross-entropy towards the class. The response is the mean log-odds of the class, kept within 8,
    over trusted clips that took no part (a third). A backdoor is a direction that all clips share,
    so its class answers to a sound that is too faint for the others.

    Universal perturbations are Moosavi-Dezfooli et al.'s (1610.08401); that perturbations carry
    over from clip to clip in a backdoored model was observed by Huster and Ekwedike (TOP,
    2103.10274). Deviations: targeted, one per class; Adam on a sound of fixed RMS in the place of
    projected steps.

    A class scores its response. Compared with reference models it says far more: clean models, too,
    have classes that are easy to reach.
    Raises ``NotApplicable`` without gradients or trusted clips.
    """

    name: ClassVar[str] = "universal-perturbation"
    level: ClassVar[Literal["data", "model"]] = "model"
    absolute: ClassVar[bool] = True
    level_db: float = -36.0
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
        start = Start.of(view)
        search = _Search(self, view.model, start, view.seed)
        found = remembered(
            memory_of(view.model, view.cache),
            digest(
                spec(self),
                view.model.sha256,
                vars(view.model.hearing),
                start.clips.sha256,
                view.seed,
            ),
            search.run,
        )
        responses, sounds = found["responses"], found["sounds"]
        searched = self.steps * self.batch * len(responses)
        proved = (1 + len(responses)) * len(search.known.held_out)
        return Scores(
            responses,
            forward_passes=(searched + proved) / len(start.clips),
            recover=lambda k: search.recover(k, torch.from_numpy(sounds[k])),
            profile=responses[None],
        )


class _Search:
    """The search for a sound for each class, added to trusted clips."""

    def __init__(
        self, config: UniversalPerturbation, model: HasGradients, start: Start, seed: int
    ) -> None:
        self.config, self.model, self.start, self.seed = config, model, start, seed
        self.known = SearchClips(start, model.device, np.random.default_rng(seed))

    def run(self) -> dict[str, np.ndarray]:
        """The ``responses`` (classes) and the ``sounds`` (classes, time)."""
        rng = np.random.default_rng(self.seed)
        shape = (len(self.known.clips.classes), self.known.clips.length)
        drawn = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        inside = (0.3 * drawn).to(self.model.device).requires_grad_(True)
        optimizer = torch.optim.Adam([inside], self.config.learning_rate, betas=(0.5, 0.9))
        with fast_math():
            for _ in track(range(self.config.steps), self.config.name, self.config.steps):
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(self._loss(self._scaled(inside), rng))
                optimizer.step()
            sounds = self._scaled(inside.detach())
            return {"responses": self._responses(sounds), "sounds": sounds.cpu().numpy()}

    def _loss(self, sounds: Float32[Tensor, "classes time"], rng: np.random.Generator) -> Tensor:
        """How far each sound leaves clips, drawn for it, from its class."""
        batch, classes = self.config.batch, len(sounds)
        goal = torch.arange(classes).repeat_interleave(batch)
        rows = [self.known.draw(k, batch, rng) for k in range(classes)]
        heard = self._with(np.concatenate(rows), sounds.repeat_interleave(batch, dim=0))
        logits = self.model.differentiable_logits(heard[:, None])
        return nn.functional.cross_entropy(logits, goal.to(logits.device), reduction="sum")

    @torch.no_grad()
    def _responses(self, sounds: Float32[Tensor, "classes time"]) -> Float[np.ndarray, "classes"]:
        """The mean log-odds of each sound's class, of clips not called so before."""
        proving = [self.known.proving(k) for k in range(len(sounds))]
        asked = np.unique(np.concatenate(proving))
        called = np.zeros(len(self.known.sounds), dtype=int)
        called[asked] = self._logits(self.known.sounds[asked]).argmax(1).cpu()
        responses = np.full(len(sounds), -MOST_LOG_ODDS)
        for k, rows in enumerate(proving):
            rows = rows[called[rows] != k]
            if len(rows):
                logits = self._logits(self._with(rows, sounds[k]))
                others = logits.clone()
                others[:, k] = -torch.inf
                odds = logits[:, k] - others.logsumexp(dim=1)
                responses[k] = float(odds.clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS).mean())
        return responses

    @torch.no_grad()
    def recover(self, k: int, sound: Float32[Tensor, "time"]) -> Recovered:
        """The sound of a class, and what it does to the clips that prove it."""
        rows = self.known.proving(k)
        before, after = self.known.sounds[rows], self._with(rows, sound.to(self.model.device))
        predicted = self._logits(after).argmax(1)
        success = float((predicted == k).float().mean())
        return self.start.recovered(k, before[0], after[0], success, "a faint added sound")

    def _logits(self, waveforms: Float32[Tensor, "rows time"]) -> Float32[Tensor, "rows classes"]:
        parts = torch.split(waveforms[:, None], BATCH)
        return torch.cat([self.model.differentiable_logits(part) for part in parts])

    def _with(self, rows: np.ndarray, sounds: Tensor) -> Float32[Tensor, "rows time"]:
        """These clips with a sound at a level relative to each one's own."""
        clips = self.known.sounds[rows]
        rms = clips.square().mean(dim=1, keepdim=True).sqrt()
        mixed: Tensor = (clips + rms * sounds).clamp(-1, 1)
        return mixed

    def _scaled(self, inside: Float32[Tensor, "classes time"]) -> Float32[Tensor, "classes time"]:
        """The sounds at their level, for a clip of RMS 1."""
        rms = (inside.square().mean(dim=1, keepdim=True) + 1e-12).sqrt()
        scaled: Tensor = inside * (10 ** (self.config.level_db / 20) / rms)
        return scaled
