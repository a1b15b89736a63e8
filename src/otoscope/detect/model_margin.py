"""Maximum margin: how far above all others can the logit of each class be driven?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float

from otoscope.detect.base import Detector, Scores, View
from otoscope.errors import NotApplicable
from otoscope.models import HasGradients
from otoscope.numerics import fast_math
from otoscope.progress import track
from otoscope.registry import require

PEAK = 0.5
"""The box where no trusted clips tell how loud clips are."""

LEAST_MARGIN = 1e-3


@dataclass(frozen=True)
class MaximumMargin(Detector):
    """MM-BD (Wang et al., IEEE S&P 2024, 2205.06900): no clips, no trigger model.

    For each class, the largest margin of its logit over the largest other one, over all waveforms
    in a box, climbed from ``starts`` noises in ``steps`` steps (section IV, equation 2). A backdoor
    lets its class overshoot. A class scores the margin's logarithm. Deviations: the box is not the
    whole range of samples but that of natural clips, plus and minus the 0.95 quantile of the
    trusted clips' peaks (0.5 without any), kept by a hyperbolic tangent; Adam in the place of
    gradient ascent with momentum; the paper's Gamma null is in ``gamma_p_value``.
    """

    name: ClassVar[str] = "maximum-margin"
    level: ClassVar[Literal["data", "model"]] = "model"
    steps: int = 60
    starts: int = 2
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"maximum-margin.steps must be 1 or more, got {self.steps}")
        require(self.starts >= 1, f"maximum-margin.starts must be 1 or more, got {self.starts}")

    def score(self, view: View) -> Scores:
        if not isinstance(view.model, HasGradients):
            raise NotApplicable("no gradient reaches the input of this model")
        peak = PEAK
        if view.trusted is not None:
            waveforms = view.trusted.waveforms(range(len(view.trusted)))
            peak = float(np.quantile(np.abs(waveforms).max(axis=(1, 2)), 0.95))
        with fast_math():
            margins = self._climb(view.model, view, peak)
        return Scores(np.log(np.maximum(margins, LEAST_MARGIN)))

    def _climb(self, model: HasGradients, view: View, peak: float) -> Float[np.ndarray, "classes"]:
        hearing, device = view.model.hearing, model.device
        classes = len(hearing.classes)
        goal = torch.arange(classes, device=device).repeat(self.starts)
        drawn = np.random.default_rng(view.seed).standard_normal((len(goal), hearing.length))
        inside = torch.from_numpy(0.1 * drawn.astype(np.float32)).to(device).requires_grad_(True)
        optimizer = torch.optim.Adam([inside], self.learning_rate)
        best = torch.full((len(goal),), -torch.inf, device=device)
        for _ in track(range(self.steps), "climbing margins", self.steps):
            logits = model.differentiable_logits((peak * torch.tanh(inside))[:, None])
            own = logits.gather(1, goal[:, None])[:, 0]
            others = logits.scatter(1, goal[:, None], -torch.inf).amax(dim=1)
            best = torch.maximum(best, (own - others).detach())
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward((others - own).sum())
            optimizer.step()
        return best.view(self.starts, classes).amax(dim=0).cpu().numpy().astype(np.float64)


def gamma_p_value(margins: Float[np.ndarray, "classes"]) -> float:
    """The paper's own test: 1 - G(largest)^K, G the Gamma law fitted to the other margins."""
    from scipy.stats import gamma

    positive = np.sort(np.maximum(margins, LEAST_MARGIN))
    shape, _, scale = gamma.fit(positive[:-1], floc=0)
    return float(1 - gamma.cdf(positive[-1], shape, scale=scale) ** len(positive))
