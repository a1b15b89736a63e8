"""Witness again, through a network of our own: a delivered model may hide what it was taught."""

from dataclasses import dataclass
from typing import ClassVar

from otoscope.detect.base import Scores, View
from otoscope.detect.data_witness import Witness
from otoscope.detect.own_network import through_our_own


@dataclass(frozen=True)
class IndependentWitness(Witness):
    """Ours. ``Witness``, with a network trained on the clips in place of the delivered model.

    Whoever trained the delivered model may have kept the poison from lying apart in it (Tan, Shokri
    2019, 1905.13409); in a network that the audit trains, nothing but the clips has a say. It sees
    no backdoor that is in the model alone, and asks nothing of the model: one that shows nothing of
    its inside will do.
    """

    name: ClassVar[str] = "independent-witness"

    @property
    def law(self) -> str:
        """That of ``Witness``, made of networks that were trained on the clips, as this one is."""
        return Witness.name

    def score(self, view: View) -> Scores:
        return super().score(through_our_own(view))
