"""The published attacks as settings of our components, and how to carry one out."""

from otoscope.catalogue.entries import CATALOGUE
from otoscope.catalogue.entry import CarriedOut, Entry, carry_out, roles

__all__ = ["CATALOGUE", "CarriedOut", "Entry", "carry_out", "roles"]
