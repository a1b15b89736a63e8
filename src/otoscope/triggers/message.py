"""The message that a steganographic trigger hides: pseudo-random bits that a seed fixes."""

import numpy as np


def message_bits(count: int, message_seed: int) -> np.ndarray:
    """``count`` bits, 0 or 1; a longer message starts with the shorter one."""
    return np.random.default_rng(message_seed).integers(2, size=count)


def held_bits(count: int, samples_per_bit: int, message_seed: int) -> np.ndarray:
    """The bit that each of ``count`` samples carries, when one bit lasts so many samples."""
    bits = message_bits(-(-count // samples_per_bit), message_seed)
    return np.repeat(bits, samples_per_bit)[:count]
