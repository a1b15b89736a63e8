"""Weight statistics: a class whose last-layer weights are unlike the others'. It runs nothing."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch import nn

from otoscope.detect.base import Detector, Scores, View
from otoscope.errors import NotApplicable
from otoscope.models import TorchModel


@dataclass(frozen=True)
class WeightStatistics(Detector):
    """The mean weight with which the last linear layer reads its features, class by class.

    Features that end in a rectifier and a pooling are not negative, so a class with a higher mean
    weight is easier to reach from anywhere, as the target of a backdoor is. After
    Fields et al., *Trojan Signatures in DNN Weights* (2109.02836), who compare the distribution of
    the target's row with those of the others. Deviation: the mean only.

    Raises ``NotApplicable`` for a model whose last linear layer does not give its logits.
    """

    name: ClassVar[str] = "weight-statistics"
    level: ClassVar[Literal["data", "model"]] = "model"

    def score(self, view: View) -> Scores:
        if not isinstance(view.model, TorchModel):
            raise NotApplicable("the weights of this model are out of reach")
        linear = [m for m in view.model.module.modules() if isinstance(m, nn.Linear)]
        if not linear or linear[-1].out_features != len(view.model.hearing.classes):
            raise NotApplicable(
                "the model does not end in a linear layer with a row for each class"
            )
        rows = linear[-1].weight.detach().cpu().numpy().astype(np.float64)
        return Scores(rows.mean(axis=1))
