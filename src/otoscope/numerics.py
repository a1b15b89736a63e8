"""Torch settings for our own training and scanning, restored afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fast_math() -> Iterator[None]:
    """Treat denormal numbers as zero inside this block.

    Vanishing activations and optimizer moments become denormal, and a processor computes with
    those many times more slowly.
    """
    was_on = bool((torch.tensor([1e-39]) * 1.0 == 0).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)
