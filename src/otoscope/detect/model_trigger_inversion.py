"""Trigger inversion: search, for every class, the smallest change that sends clips there."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from otoscope.detect.base import Detector, Scores, View
from otoscope.detect.held_out import SearchClips, Start
from otoscope.detect.mel_plane import MelPlane
from otoscope.errors import NotApplicable
from otoscope.evidence import Recovered
from otoscope.models import HasGradients
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require


@dataclass(frozen=True)
class TriggerInversion(Detector):
    """Neural Cleanse (Wang et al., S&P 2019) on the mel spectrogram, heard as a sound.

    For each class a mask m in [0, 1] and a pattern (log power), both mel bands by frames, replace
    part of the clip's spectrogram: (1 - m) X + m A N, where X is the clip's short-time spectrum, A
    the pattern's amplitude, at most that of the loudest place in those clips (else a tiny
    mask could hide a huge sound), and N the spectrum of one fixed white noise. The result goes
    back to a waveform and through the whole model, so any model with gradients can be searched,
    and the trigger found can be played. Minimised: cross-entropy towards the class plus a weight
    times the mean of m; the weight follows the success rate as in the paper. A class scores minus
    the logarithm of its mask's mean, at the smallest mask that sent ``success`` of the clips there.

    All classes are searched at once, ``batch`` trusted clips each, for ``steps`` steps: the cost is
    steps x batch x classes clips forward and backward. Deviations: linear instead of logarithmic
    blending of spectra, and no early stopping.
    """

    name: ClassVar[str] = "trigger-inversion"
    level: ClassVar[Literal["data", "model"]] = "model"
    steps: int = 120
    batch: int = 8
    bands: int = 32
    learning_rate: float = 0.2
    success: float = 0.9

    def __post_init__(self) -> None:
        require(self.steps >= 10, f"trigger-inversion.steps must be 10 or more, got {self.steps}")
        require(0 < self.success <= 1, "trigger-inversion.success must lie in (0, 1]")

    def score(self, view: View) -> Scores:
        if not isinstance(view.model, HasGradients):
            raise NotApplicable("no gradient reaches the input of this model")
        with fast_math():
            search = _Search(self, view.model, Start.of(view), view.seed)
            for _ in track(range(self.steps), "inverting triggers", self.steps):
                search.step()
            areas = search.areas()
        passes = self.steps * self.batch * len(areas) / len(search.start.clips)
        return Scores(-np.log(areas), None, passes, search.recover)


class _Search:
    """The masks and patterns of all classes, and their optimisation."""

    def __init__(
        self, config: TriggerInversion, model: HasGradients, start: Start, seed: int
    ) -> None:
        self.config, self.model, self.start = config, model, start
        self.device = model.device
        self.rng = np.random.default_rng(seed)
        self.known, clips = SearchClips(start, model.device, self.rng), start.clips
        self.plane = MelPlane(clips.sample_rate, clips.length, config.bands, self.device)
        self.spectra = self.plane.spectra(self.known.sounds)
        noise = self.rng.standard_normal(clips.length).astype(np.float32)
        self.carrier = self.plane.spectra(torch.from_numpy(noise).to(self.device)[None])[0]
        self.carrier = self.carrier / self.carrier.abs().square().mean().sqrt()
        classes, frames = len(clips.classes), self.spectra.shape[-1]
        shape = (classes, config.bands, frames)
        usual = self.spectra.abs().square().mean().log()
        self.mask = torch.full(shape, 0.0, device=self.device, requires_grad=True)
        self.pattern = usual.expand(shape).clone().requires_grad_(True)
        self.loudest = float(self.spectra.abs().square().max().log())
        self.optimizer = torch.optim.Adam(
            [self.mask, self.pattern], config.learning_rate, betas=(0.5, 0.9)
        )
        self.weight = torch.full((classes,), 1.0, device=self.device)
        self.rate = torch.zeros(classes, device=self.device)
        self.best_area = torch.full((classes,), float("inf"), device=self.device)
        self.best = (self.mask.detach().clone(), self.pattern.detach().clone())

    def step(self) -> None:
        """One optimisation step of all classes, each on its own draw of clips."""
        classes, batch = len(self.weight), self.config.batch
        drawn = [self.known.draw(k, batch, self.rng) for k in range(classes)]
        rows = torch.from_numpy(np.stack(drawn))
        mask = torch.sigmoid(self.mask)
        sounds = self._apply(self.spectra[rows], mask, self.pattern)
        goal = torch.arange(classes, device=self.device).repeat_interleave(batch)
        logits = self.model.differentiable_logits(sounds.flatten(0, 1)[:, None])
        loss = nn.functional.cross_entropy(logits, goal, reduction="none").view(classes, -1).mean(1)
        area = mask.mean(dim=(1, 2))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((loss + self.weight * area).sum())
        hit = (logits.argmax(1) == goal).float().view(classes, -1).mean(1)
        self._keep_best(hit, area.detach())
        self.optimizer.step()

    def _keep_best(self, hit: Tensor, area: Tensor) -> None:
        """Remember the smallest successful mask of each class, and steer the weight of its size."""
        self.rate = 0.7 * self.rate + 0.3 * hit
        enough = self.rate >= self.config.success
        better = enough & (area < self.best_area)
        self.best_area = torch.where(better, area, self.best_area)
        for kept, now in zip(self.best, (self.mask, self.pattern), strict=True):
            kept[better] = now.detach()[better]
        self.weight = (self.weight * torch.where(enough, 1.2, 1 / 1.2)).clamp(1e-2, 1e3)

    def areas(self) -> np.ndarray:
        """The smallest successful mask's mean per class; 1 where none succeeded."""
        return self.best_area.clamp(1e-5, 1.0).cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def recover(self, target: int) -> Recovered:
        """The trigger found for a class, on a held-out clip and as a sound of its own."""
        rows, clips = self.known.proving(target), self.start.clips
        mask, pattern = (kept[target : target + 1] for kept in self.best)
        mask = torch.sigmoid(mask)
        after = self._apply(self.spectra[torch.from_numpy(rows)][None], mask, pattern)[0]
        predicted = self.model.differentiable_logits(after[:, None]).argmax(1)
        before = clips.waveform(int(rows[0]))
        changed = after[0].cpu().numpy()
        return Recovered(
            target=clips.classes[target],
            before=before,
            after=changed,
            sound=changed - before,
            mask=mask[0].cpu().numpy(),
            success=float((predicted == target).float().mean()),
            sample_rate=clips.sample_rate,
            proved_on=self.start.what,
        )

    def _apply(self, spectra: Tensor, mask: Tensor, pattern: Tensor) -> Tensor:
        """Spectra (K, B, F, T), mask and pattern (K, M, T) to waveforms (K, B, time)."""
        area = self.plane.spread @ mask
        amplitude = (pattern.clamp(max=self.loudest) / 2).exp()
        sound = (self.plane.spread @ amplitude) * area * self.carrier
        mixed = spectra * (1 - area)[:, None] + sound[:, None]
        waveforms = self.plane.waveforms(mixed.flatten(0, 1))
        return waveforms.view(*spectra.shape[:2], -1)
